"use strict";
// Which family is this model? The same rules as `envpin matrix resolve`, over the same table; a test holds the two together.
const Match = (() => {
  const ONLY_NAME = "its config is the same; only a name tells it apart";
  const isTable = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const missing = (value) => value === undefined || value === null;

  function walk(config, path) {
    let value = config;
    for (const key of path.split(".")) {
      if (!isTable(value) || !Object.hasOwn(value, key)) return null;
      value = value[key];
    }
    return value;
  }

  function valueAt(config, path) {
    if (path.startsWith("text.")) {
      const rest = path.slice(5), nested = config.text_config;
      const found = isTable(nested) ? valueAt(nested, rest) : null;
      return missing(found) ? valueAt(config, rest) : found;
    }
    if (path === "derived.own_head_dim") return ownHeadDim(config);
    let found = walk(config, path);
    if (missing(found) && path.endsWith("rope_scaling.rope_type")) found = walk(config, path.slice(0, -"rope_type".length) + "type");
    if (missing(found) && path.startsWith("rope_scaling")) found = walk(config, path.replace("rope_scaling", "rope_parameters"));
    if (found === "default" && path.endsWith("rope_scaling.rope_type")) return null;
    if (missing(found) && path === "rope_theta") found = walk(config, "rope_parameters.rope_theta");
    return missing(found) ? null : found;
  }

  function ownHeadDim(config) {
    const nested = config.text_config, part = isTable(nested) && Object.hasOwn(nested, "hidden_size") ? nested : config;
    const numbers = [part.head_dim, part.hidden_size, part.num_attention_heads];
    return numbers.every(Number.isInteger) ? numbers[0] * numbers[2] !== numbers[1] : null;
  }

  function release(text) {
    const found = typeof text === "string" ? /^\d{1,6}(?:\.\d{1,6}){0,3}/.exec(text) : null;
    return found ? found[0].split(".").map(Number) : null;
  }

  function compare(one, other) {
    for (let at = 0; at < Math.max(one.length, other.length); at++) {
      if (at >= one.length) return -1;
      if (at >= other.length) return 1;
      if (one[at] !== other[at]) return one[at] - other[at];
    }
    return 0;
  }

  const equal = (value, bound) => JSON.stringify(value) === JSON.stringify(bound);
  const TESTS = {
    present: (value, bound) => !missing(value) === bound,
    equals: equal,
    one_of: (value, bound) => bound.some((one) => equal(value, one)),
    at_least: (value, bound) => typeof value === "number" && value >= bound,
    at_most: (value, bound) => typeof value === "number" && value <= bound,
    version_at_least: (value, bound) => { const own = release(value); return own !== null && compare(own, release(bound) || []) >= 0; },
    version_below: (value, bound) => { const own = release(value); return own !== null && compare(own, release(bound) || []) < 0; },
  };

  function holds(sign, config) {
    for (const [name, test] of Object.entries(TESTS)) if (Object.hasOwn(sign, name)) return test(valueAt(config, sign.path), sign[name]);
    return false;
  }

  function shown(value) {
    if (missing(value)) return "absent";
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return text.length > 60 ? text.slice(0, 59) + "…" : text;
  }

  // As matrix/names.py: whole words, no size read as a version, and no word next to it that means another architecture.
  let vetoes = { words: [], endings: [] };
  const wordy = (letter) => letter !== undefined && /[\p{L}\p{N}]/u.test(letter);

  function belongs(lowered, start, end) {
    if (start && wordy(lowered[start]) && wordy(lowered[start - 1])) return false;
    const rest = lowered.slice(end);
    if (/\d/.test(lowered[end - 1]) && (/^\.?\d*\.?\d*[bm](?![a-z])/.test(rest) || /^\.\d/.test(rest))) return false;
    const own = lowered.lastIndexOf("/") + 1;
    const beside = `${lowered.slice(own, Math.max(own, start))} ${lowered.slice(Math.max(end, own))}`, words = beside.split(/[^\p{L}]+/u);
    return !/\dx\d/.test(beside) && !words.some((word) => word && (vetoes.words.includes(word) || vetoes.endings.some((one) => word.endsWith(one))));
  }

  function named(names, name) {
    if (!name) return 0;
    const lowered = name.toLowerCase().replaceAll(":", "-");
    let longest = 0;
    for (const pattern of names || []) for (const found of lowered.matchAll(new RegExp(pattern, "g"))) {
      if (found[0] && belongs(lowered, found.index, found.index + found[0].length)) longest = Math.max(longest, found[0].length);
    }
    return longest;
  }

  const squashed = (text) => text.toLowerCase().replace(/[^a-z0-9]/g, "");

  // As envpin.matrix.architectures: the type that a class name suggests, of the known ones where letters agree.
  function architectureType(architecture, classes, known) {
    const stem = architecture.split(new RegExp(classes.head))[0] || architecture, letters = squashed(stem);
    if (Object.hasOwn(classes.other_order, letters)) return classes.other_order[letters];
    return known.find((one) => squashed(one) === letters) || stem.replace(/([a-z0-9])(?=[A-Z])/g, "$1_").toLowerCase();
  }

  function foreignClass(kind, config, classes) {
    for (const [field, owner] of Object.entries(classes.fields)) if (!missing(config[field])) return `${field} is a field of ${owner}`;
    const first = Array.isArray(config.architectures) ? config.architectures[0] : null;
    if (typeof first !== "string" || !/^[\p{L}_][\p{L}\p{N}_]*$/u.test(first)) return null;
    if (!isClassOf(kind, first, classes)) return `its architecture ${shown(first)} is no class of transformers for that type`;
    const code = isTable(config.auto_map) ? config.auto_map : {}, entry = `AutoModel${(PURPOSE.exec(first) || [""])[0]}`;
    const value = Object.hasOwn(code, entry) && typeof code[entry] === "string" ? code[entry] : "", own = value.slice(value.lastIndexOf(".") + 1);
    if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(own) || isClassOf(kind, own, classes)) return null;
    return `auto_map names ${shown(own)}, which is no class of transformers for that type`;
  }

  const PURPOSE = /(?<=[a-z0-9_])For([A-Z]\w*)$/;

  function isClassOf(kind, name, classes) {
    const own = squashed(kind), letters = squashed(architectureType(name, classes, [])), purpose = PURPOSE.exec(name);
    const alike = [own, own.replace(/text$/, ""), own.replace(/textmodel$/, ""), "jev", ...(Object.hasOwn(classes.shared, kind) ? classes.shared[kind] : [])];
    if (purpose && !classes.heads.includes(purpose[1])) return false;
    return (alike.includes(letters) || alike.includes(letters.replace(/text$/, ""))) && !new RegExp(classes.draft, "i").test(name);
  }

  function modelType(config, classes, known) {
    if (typeof config.model_type === "string" && config.model_type.trim()) return [config.model_type.trim(), null];
    const first = Array.isArray(config.architectures) ? config.architectures[0] : null;
    return typeof first === "string" && /^[\p{L}_][\p{L}\p{N}_]*$/u.test(first) ? [architectureType(first, classes, known), first] : [null, null];
  }

  function examine(family, config, name) {
    const rules = family.match;
    const wanting = (rules.require || []).filter((sign) => !holds(sign, config)).map((sign) => `${sign.path} is ${shown(valueAt(config, sign.path))}`);
    const byName = named(family.match.names, name);
    if (!wanting.length && rules.only_by_name && !byName) wanting.push(ONLY_NAME);
    const those = (signs) => (signs || []).filter((sign) => holds(sign, config)).map((sign) => `${sign.path} is ${shown(valueAt(config, sign.path))}`);
    const decided = those(rules.decisive), supporting = those(rules.support);
    return { family, wanting, byName, decided, supporting,
      rank: [(rules.require || []).length, byName > 0 ? 1 : 0, decided.length ? 1 : 0, supporting.length] };
  }

  // Versions for a model that the matrix does not list, as matrix/nearest.py has them.
  function make(data) {
    vetoes = data.vetoes || vetoes;
    const positions = new Map(data.releases.map((one, at) => [one.version, at]));
    const newest = [...data.releases].reverse().find((one) => !one.yanked).version;
    const knows = (version, kind) => (data.types[kind] || []).some(([first, last]) => first <= positions.get(version) && positions.get(version) <= last);

    function spans(kind) {
      const found = Object.hasOwn(data.types, kind) ? data.types[kind] : [];
      if (!found.length) return null;
      const last = found[found.length - 1][1];
      return [data.releases[found[0][0]].version, last < data.releases.length - 1 ? data.releases[last].version : null];
    }

    function settled(version) {
      const series = version.split(".").slice(0, 2).join(".");
      const same = data.releases.filter((one) => one.version.split(".").slice(0, 2).join(".") === series && !one.yanked);
      return same.length ? same[same.length - 1].version : version;
    }

    function ownRelease(kind, own) {
      const parts = release(own);
      const plain = parts && parts.length >= 2 && parts.length <= 3 ? [...parts, 0].slice(0, 3).join(".") : null;
      const window = spans(kind);
      if (!window) return plain !== null && positions.has(plain) ? plain : own ? newest : null;
      const [first, last] = window;
      if (plain !== null && knows(plain, kind)) return settled(plain);
      if (own && compare(release(own) || [], release(newest)) > 0) return last || newest;
      return settled(first);
    }

    function era(version) {
      const one = positions.has(version) ? data.releases[positions.get(version)] : null;
      return one && one.newer ? { packages: one.pins, python: one.python, exclude_newer: one.newer } : null;
    }

    function proved(kind) {
      const sets = data.families.flatMap((family) => family.known_good);
      sets.sort((one, other) => (one.exclude_newer < other.exclude_newer ? -1 : one.exclude_newer > other.exclude_newer ? 1 : 0));
      return sets.find((one) => knows(one.packages.transformers, kind)) || null;
    }

    // As misread of envpin.matrix.spelling: what transformers 5 spells otherwise, where 4 takes another value.
    function misread(config) {
      if (isTable(config.auto_map) && Object.hasOwn(config.auto_map, "AutoConfig")) return [];
      return [config, config.text_config].filter(isTable).flatMap(misreadPart);
    }

    function misreadPart(part) {
      const kind = typeof part.model_type === "string" ? part.model_type : "", tables = data.spelling, found = [];
      const of = (table) => (Object.hasOwn(table, kind) ? table[kind] : null);
      const absent = (...names) => names.every((one) => missing(part[one]) || part[one] === null);
      const other = (field, says, taken) => { if (typeof says === "number" && says !== taken) found.push({ field, release: "5.0.0" }); };
      const experts = of(tables.experts), number = part.num_local_experts;
      if (experts && !Object.hasOwn(part, "num_experts") && Number.isInteger(number) && number !== experts[0]) found.push({ field: "num_experts", release: experts[1] });
      const all = part.rope_parameters;
      if (!isTable(all)) return found;
      const whole = isTable(all.full_attention) ? all.full_attention : all, local = all.sliding_attention;
      if (absent("rope_theta", "global_rope_theta", "rotary_emb_base")) other("rope_theta", whole.rope_theta, of(tables.theta) ?? tables.usual);
      if (isTable(local) && of(tables.local) !== null && absent("rope_local_base_freq", "local_rope_theta")) other("rope_local_base_freq", local.rope_theta, of(tables.local));
      if (of(tables.partial) !== null && absent("partial_rotary_factor", "rotary_pct")) other("partial_rotary_factor", whole.partial_rotary_factor, of(tables.partial));
      if (!absent("rope_scaling")) return found;
      if (Array.isArray(whole.mrope_section)) return [...found, { field: "rope_scaling.mrope_section", release: "5.0.0" }];
      const says = whole.rope_type, taken = of(tables.scaling);
      if (typeof says !== "string" || says === "axial") return found;
      if (says === "default" ? taken : !taken || says !== taken[0] || whole.factor !== taken[1]) found.push({ field: "rope_scaling", release: "5.0.0" });
      return found;
    }

    function methodOf(part) {
      if (!isTable(part)) return null;
      const own = ["quantization_config", "compression_config"].map((key) => part[key]).find(isTable) || {};
      if (typeof own.quant_method === "string" && own.quant_method.trim()) return own.quant_method.trim().toLowerCase();
      if (own.load_in_4bit || own.load_in_8bit) return "bitsandbytes";
      return isTable(part.quantization) && "bits" in part.quantization && "group_size" in part.quantization ? "mlx" : null;
    }

    // As yarn_floor of envpin.matrix.parts.
    function yarnFloor(config) {
      const part = isTable(config.text_config) && missing(valueAt(config, "rope_scaling.rope_type")) ? config.text_config : config;
      const [factor, original] = ["factor", "original_max_position_embeddings"].map((key) => valueAt(part, `rope_scaling.${key}`));
      const longest = part.max_position_embeddings;
      if (valueAt(part, "rope_scaling.rope_type") !== "yarn" || [factor, original, longest].some((one) => typeof one !== "number")) return null;
      if (original * factor !== longest) return { release: "4.56.0", what: "takes the factor of this yarn from rope_scaling, not from the lengths" };
      return longest === original ? null : { release: "4.51.0", what: "reads original_max_position_embeddings of a yarn" };
    }

    // What the parts of a config and the quantization of its weights ask for: [release, what for]; "" where none knows it.
    function floorsOf(kind, config) {
      const found = [], code = isTable(config.auto_map) && Object.hasOwn(config.auto_map, "AutoConfig");
      for (const key of (!code && Object.hasOwn(data.parts || {}, kind)) ? data.parts[kind] : []) {
        const own = isTable(config[key]) ? config[key].model_type : null;
        if (typeof own === "string" && own.trim()) found.push({ release: (spans(own) || [""])[0], what: `knows ${shown(own)}, the type of its ${key}`, part: true });
      }
      const yarn = yarnFloor(config);
      if (yarn) found.push(yarn);
      const method = [config, config.text_config].reduce((named, part) => named || methodOf(part), null);
      const spelt = misread(config), releases = [...new Set(spelt.map((one) => one.release))];
      const written = releases.map((one) => ({ release: one, what: `reads ${spelt.filter((lost) => lost.release === one).map((lost) => lost.field).join(", ")} as transformers 5 writes it` }));
      if (method === null || !data.methods) return [...found, ...written];
      if (!Object.hasOwn(data.methods, method)) found.push({ release: "", what: `loads weights quantized with ${shown(method)}` });
      else if (data.methods[method]) found.push({ release: data.methods[method], what: `loads weights quantized with ${shown(method)}` });
      return [...found, ...written];
    }

    const risen = (version, floors) => floors.reduce((found, one) => (!found || !one.release ? null
      : positions.get(found) < positions.get(one.release) ? settled(one.release) : found), version);

    function byName(name, evidence) {
      if (!name) return { family: null, certainty: "unknown", evidence: [...evidence, "there is no name either"], alternatives: [], pins: null };
      const letters = name.includes("/") ? "" : squashed(name), alike = (text) => letters !== "" && squashed(text) === letters;
      let found = data.families.filter((family) => family.id === name);
      if (!found.length) found = data.families.filter((family) => alike(family.id));
      if (!found.length) found = data.families.filter((family) => (family.match.model_type || []).some(alike));
      const own = found.length > 0;
      if (!own) {
        const lengths = data.families.map((family) => named(family.match.names, name));
        const longest = Math.max(0, ...lengths);
        found = data.families.filter((family, at) => longest > 0 && lengths[at] === longest);
      }
      const longest = own ? Infinity : found.length ? named(found[0].match.names, name) : 0;
      let kind = null, most = longest;
      for (const [type, one] of Object.entries(data.named || {})) { const length = named(one.names, name); if (length > most) { most = length; kind = type; } }
      if (kind !== null) return byTypeName(name, kind, evidence);
      if (!found.length) return { family: null, certainty: "unknown", evidence: [...evidence, `the name ${shown(name)} is like none of the matrix`], alternatives: [], pins: null };
      const held = found[0].conditions.filter((one) => named(one.names, name));
      return { family: found[0], certainty: "by name", alternatives: found.slice(1).map((one) => one.id), held,
        evidence: own ? evidence : [...evidence, `the name ${shown(name)} is like its names; there was no config to confirm it`],
        pins: held.length && found[0].known_good[0] ? held[0].pins : found[0].known_good[0] || null };
    }

    function byTypeName(name, kind, evidence) {
      const one = data.named[kind], what = one.kind || "native";
      evidence = [...evidence, `the name ${shown(name)} is that of the type ${kind}`];
      if (what === "other") return { family: null, certainty: "unknown", evidence, note: one.note, alternatives: [], pins: null };
      return { family: null, certainty: "by name", evidence, note: one.note, alternatives: [], kind,
        pins: what === "native" ? typePins(kind, ownRelease(kind, null), true) : null };
    }

    // What fits a release; where that is older than all that was ever proved, the oldest that was proved instead.
    function typePins(kind, version, native) {
      const pins = version ? era(version) : null;
      if (!pins) return version ? { packages: { transformers: version }, python: null, exclude_newer: null } : null;
      const oldest = data.families.flatMap((family) => family.known_good).map((one) => one.exclude_newer).sort()[0] || "";
      if (native && (pins.exclude_newer < oldest || !Object.hasOwn(pins.packages, "peft"))) return proved(kind) || pins;
      return pins;
    }

    function match(config, name) {
      const usable = isTable(config) && Object.keys(config).length ? config : null;
      if (usable && (Object.hasOwn(usable, "_diffusers_version") || Object.hasOwn(usable, "_class_name")) && data.named && data.named.diffusers) {
        return { family: null, certainty: "unknown", evidence: [], note: data.named.diffusers.note, alternatives: [], pins: null };
      }
      const [kind, how] = usable ? modelType(usable, data.classes, Object.keys(data.types)) : [null, null];
      if (kind === null) return byName(name, config === null ? [] : ["the config says no type"]);
      const own = typeof usable.transformers_version === "string" && usable.transformers_version.trim() ? usable.transformers_version : null;
      const candidates = data.families.filter((family) => (family.match.model_type || []).includes(kind) || (how && (family.match.architectures || []).includes(how)))
        .map((family) => examine(family, usable, name));
      const evidence = [how ? `no model_type; the architecture is ${how}` : `model_type is ${shown(kind)}`];
      const fitting = candidates.filter((one) => !one.wanting.length), floors = floorsOf(kind, usable);
      evidence.push(...floors.filter((one) => !one.release).map((one) => `no release up to ${newest} ${one.what}`));
      if (!fitting.length || floors.some((one) => one.part && !one.release)) return notListed(usable, kind, own, candidates, evidence, floors);
      const best = fitting.reduce((one, other) => (compare(other.rank, one.rank) > 0 ? other : one));
      const signs = (best.family.match.require || []).length;
      const equals = best.byName || best.decided.length ? [] : fitting.filter((one) => one !== best && (one.family.match.require || []).length === signs);
      const copies = best.byName ? [] : candidates.filter((one) => one.wanting.length === 1 && one.wanting[0] === ONLY_NAME && (one.family.match.require || []).length === signs);
      evidence.push(...(best.family.match.require || []).map((sign) => `${sign.path} is ${shown(valueAt(usable, sign.path))}`), ...best.decided, ...best.supporting);
      if (best.byName) evidence.push(`the name ${shown(name)} is one of its names`);
      const held = best.family.conditions.filter((one) => one.when.every((sign) => holds(sign, usable)));
      let pins = best.family.known_good[0] || null;
      for (const one of held) if (pins && (!one.pins || compare(release(one.pins.packages.transformers), release(pins.packages.transformers)) > 0 || one.versions.startsWith("<"))) pins = one.pins;
      for (const one of floors) {
        if (!one.release) pins = null;
        else if (pins && positions.get(pins.packages.transformers) < positions.get(one.release)) {
          evidence.push(`transformers ${one.release} is the first release that ${one.what}`);
          pins = best.family.known_good.find((good) => positions.get(good.packages.transformers) >= positions.get(one.release)) || era(settled(one.release));
        }
      }
      if (best.family.kind === "remote-code" && !pins && own) {
        evidence.push(`transformers_version is ${shown(own)}: what its own code was saved with`);
        const version = ownRelease(kind, own);
        pins = version ? era(version) : null;
      }
      const foreign = best.family.kind === "native" ? foreignClass(kind, usable, data.classes) : null;
      if (foreign) evidence.push(`${foreign}: what was run of the family is no proof for it`);
      return { family: best.family, certainty: equals.length || foreign ? "ambiguous" : "exact", evidence: [...new Set(evidence)], pins, kind, held,
        alternatives: [...equals, ...copies].map((one) => one.family.id) };
    }

    function notListed(config, kind, own, candidates, evidence, floors) {
      if (!candidates.length || candidates.every((one) => one.wanting.length)) evidence.push(candidates.length ? "no family of this type fits all its signs" : `no family of the matrix has the type ${shown(kind)}`);
      const window = spans(kind), code = isTable(config.auto_map) && !window;
      let version = risen(ownRelease(kind, own), floors);
      evidence.push(...floors.filter((one) => one.release).map((one) => `transformers ${one.release} is the first release that ${one.what}`));
      if (!window && !(code && positions.has(version))) version = null;
      return { family: null, certainty: (window || version) && !floors.some((one) => one.part && !one.release) ? "not listed" : "unknown", evidence, alternatives: [], kind, pins: typePins(kind, version, !code) };
    }

    return { match, spans, newest, era, positions, knows };
  }
  return { make, release, compare, isTable };
})();
