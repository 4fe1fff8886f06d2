"""envpin: pin, rebuild and prove the environment that an adapter was trained in.

The public Python API is re-exported lazily, so that `import envpin` costs next to nothing inside a training run.
"""

from __future__ import annotations

__version__ = "0.1.0"
