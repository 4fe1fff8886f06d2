"""What the index calls the package that brings a module, where that is another name. Pure.

On 30 November 2026 each package was looked up in a list of the index's names. Many of these modules have a namesake on
the index that is another project, so that to install the module's own name does not help.
"""

from __future__ import annotations

_NAMES = """
torchcrf pytorch-crf
sklearn scikit-learn
imblearn imbalanced-learn
cv2 opencv-python
PIL pillow
yaml PyYAML
bs4 beautifulsoup4
dotenv python-dotenv
skimage scikit-image
docx python-docx
pptx python-pptx
fitz PyMuPDF
faiss faiss-cpu
git GitPython
Levenshtein python-Levenshtein
dateutil python-dateutil
google protobuf
jwt PyJWT
attr attrs
absl absl-py
pkg_resources setuptools
distutils setuptools
umap umap-learn
hydra hydra-core
sentencepiece_model_pb2 protobuf
whisper openai-whisper
llama_cpp llama-cpp-python
box python-box
ruamel ruamel.yaml
magic python-magic
snappy python-snappy
adopt torch-adopt
comet unbabel-comet
swift ms-swift
megatron megatron-core
mcore_bridge mcore-bridge
fastchat fschat
fla flash-linear-attention
awq autoawq
Crypto pycryptodome
OpenSSL pyOpenSSL
serial pyserial
zmq pyzmq
pynvml nvidia-ml-py
MeCab mecab-python3
opencc opencc-python-reimplemented
indicnlp indic-nlp-library
parselmouth praat-parselmouth
dac descript-audio-codec
audiotools descript-audiotools
TTS coqui-tts
ffmpeg ffmpeg-python
Bio biopython
antlr4 antlr4-python3-runtime
groundingdino groundingdino-py
cleanfid clean-fid
nemo nemo-toolkit
colbert colbert-ai
readability readability-lxml
newspaper newspaper3k
community python-louvain
slugify python-slugify
MySQLdb mysqlclient
psycopg2 psycopg2-binary
win32api pywin32
flashinfer flashinfer-python
weaviate weaviate-client
telegram python-telegram-bot
discord discord.py
kafka kafka-python
decouple python-decouple
websocket websocket-client
orbax orbax-checkpoint
nacl PyNaCl
socks PySocks
github PyGithub
gi PyGObject
wx wxPython
usb pyusb
Xlib python-xlib
lavis salesforce-lavis
open_clip open-clip-torch
llama_index llama-index
speech_recognition SpeechRecognition
unidecode Unidecode
pyaudio PyAudio
mpl_toolkits matplotlib
"""
# What is installed from where its code lies, since the index has another project of that name, or none.
_FROM_GIT = {
    "clip": "git+https://github.com/openai/CLIP.git",
    "bleurt": "git+https://github.com/google-research/bleurt.git",
    "segment_anything": "git+https://github.com/facebookresearch/segment-anything.git",
    "apex": "git+https://github.com/NVIDIA/apex",
}
# Folders of repositories that are run where they lie: some have no package, others a namesake on the index.
_REPOSITORIES = {
    "cosyvoice": "FunAudioLLM/CosyVoice", "matcha": "shivammehta25/Matcha-TTS", "indextts": "index-tts/index-tts",
    "fish_speech": "fishaudio/fish-speech", "llava": "haotian-liu/LLaVA", "prismatic": "openvla/openvla",
    "open_r1": "huggingface/open-r1",
}  # fmt: skip
# Modules with a package of their own below a name that others share; `*` is what stands there, with hyphens.
_BELOW = {
    "google.generativeai": "google-generativeai", "google.genai": "google-genai",
    "google.cloud.storage": "google-cloud-storage", "google.cloud.aiplatform": "google-cloud-aiplatform",
    "google.auth": "google-auth", "pyannote.audio": "pyannote.audio", "pyannote.core": "pyannote.core",
    "llama_index.llms.*": "llama-index-llms-*", "llama_index.embeddings.*": "llama-index-embeddings-*",
    "llama_index.vector_stores.*": "llama-index-vector-stores-*", "llama_index.readers.*": "llama-index-readers-*",
    "llama_index.postprocessor.*": "llama-index-postprocessor-*", "optimum.intel": "optimum-intel",
    "optimum.onnxruntime": "optimum-onnx", "optimum.exporters.onnx": "optimum-onnx", "optimum.quanto": "optimum-quanto",
    "optimum.habana": "optimum-habana", "optimum.neuron": "optimum-neuron", "optimum.executorch": "optimum-executorch",
}  # fmt: skip
_ON_THE_INDEX = dict(line.split() for line in _NAMES.split("\n") if line)


def on_the_index(module: str) -> str:
    """What is given to `pip install` for a module, by its first name or by those that have a package of their own."""
    top = module.partition(".")[0]
    return package_below(module) or _FROM_GIT.get(top) or _ON_THE_INDEX.get(top, top)


def package_below(module: str) -> str | None:
    """The package that brings a module below a name which others share."""
    parts = module.split(".")
    for count in range(len(parts), 1, -1):
        name, above = ".".join(parts[:count]), ".".join(parts[: count - 1])
        if (package := _BELOW.get(name) or _BELOW.get(f"{above}.*")) is not None:
            return package.replace("*", parts[count - 1].replace("_", "-"))
    return None


def repository_of(module: str) -> str | None:
    """Where the code of a module lies that is installed from no index."""
    found = _REPOSITORIES.get(module)
    return None if found is None else f"https://github.com/{found}"
