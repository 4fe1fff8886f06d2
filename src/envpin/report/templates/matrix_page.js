(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const engine = Match.make(data);
  const byId = new Map(data.families.map((family) => [family.id, family]));
  const $ = (id) => document.getElementById(id);
  const grid = $("grid"), rows = [...grid.tBodies[0].rows], heads = [...grid.tHead.rows[1].cells].slice(1);
  const WORDS = { none: "does not know the type", static: "knows the type", import: "can be imported", load: "loaded",
    train: "trained", "merge-verified": "merged and verified", fails: "does not load" };

  // Everything that is shown is made of text nodes: nothing of a config, a name or an error is ever parsed as HTML.
  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) if (value !== undefined && value !== null) made.setAttribute(name, value);
    made.append(...children.flat(9).filter((one) => one !== null && one !== undefined && one !== ""));
    return made;
  }
  const seriesOf = (version) => version.split(".").slice(0, 2).join(".");
  const pinned = (packages) => Object.entries(packages).map(([name, version]) => `${name}==${version}`);

  // --- the theme
  const themes = ["auto", "light", "dark"];
  let theme = "auto";
  try { theme = themes.find((one) => one === localStorage.getItem("envpin-theme")) || "auto"; } catch { /* a file without storage */ }
  function dress() {
    if (theme === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
    $("theme").textContent = `Theme: ${theme}`;
  }
  $("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try { localStorage.setItem("envpin-theme", theme); } catch { /* then it lasts as long as the page */ }
    dress();
  });
  dress();
  $("theme").hidden = $("ask").hidden = false;

  // --- the answer
  function command(text) {
    const button = el("button", { type: "button", "aria-label": `Copy: ${text}` }, "Copy");
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
      catch {
        getSelection().selectAllChildren(button.previousSibling);
        button.textContent = document.execCommand && document.execCommand("copy") ? "Copied" : "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    return el("div", { class: "command" }, el("code", { tabindex: "0" }, text), button);
  }

  function commands(pins, reference) {
    const lines = pinned(pins.packages), quoted = lines.map((line) => `"${line}"`).join(" ");
    const until = pins.exclude_newer || pins.newer;
    return [
      el("h3", {}, "Get that environment"),
      command(`envpin run ${reference || lines.join(",")} -- python train.py`),
      command(`envpin env create ${reference || lines.join(",")}`),
      command(`uv venv --python ${pins.python || "3.11"} && uv pip install${until ? ` --exclude-newer ${until}` : ""} ${quoted}`),
      command(`pip install ${quoted}`),
      el("p", { class: "note" }, `Python ${pins.python || "3.11"}`, until ? `; nothing newer than ${until}` : "", pins.source ? `; ${pins.source}` : ""),
    ];
  }

  function where(source) {
    return /^https:\/\/[\w.-]+\//.test(source) ? el("a", { href: source, rel: "noreferrer noopener" }, source.replace("https://", "")) : source;
  }

  function breakOf(id, chosen) {
    const one = data.breaks[id];
    if (!one) return null;
    const here = chosen.filter((release) => one.inside.includes(release));
    if (chosen.length && one.package === "transformers" && !here.length) return null;
    return el("div", { class: one.silent ? "caution bad" : "caution" },
      el("b", {}, one.title), ` (${one.package} ${one.versions}`, one.silent ? "; nothing is printed" : "", ")",
      el("ul", {}, one.ways_out.map((way) => el("li", {}, way))),
      el("small", { class: "note" }, one.grade, one.evidence ? `, ${one.evidence.length === 1 ? "one run" : `${one.evidence.length} runs`}` : "", " · ", where(one.source)));
  }

  const MARKS = { ok: "✓", fail: "✗", timeout: "⧖", untestable: "–" };
  const versions = (packages) => Object.entries(packages).map((pair) => pair.join(" ")).join(", ");
  function runOf(run) {
    const steps = run.steps.map(([step, outcome]) => el("li", { class: outcome }, `${MARKS[outcome]} ${step}`, el("span", { class: "hidden" }, `: ${outcome}`)));
    return el("li", {}, el("b", {}, versions(run.packages)), el("small", { class: "note" }, ` · Python ${run.python}, ${run.platform}, ${run.date}`, run.trained_with ? `; adapter trained with ${versions(run.trained_with)}` : ""),
      el("ul", { class: "steps" }, steps), Object.entries(run.said || {}).map(([step, text]) => el("pre", { tabindex: "0" }, `${step}: ${text}`)));
  }
  const runsOf = (runs) => el("ul", { class: "runs" }, runs.map(runOf));

  function evidence(family, series) {
    const mine = family.runs.filter((run) => !series || seriesOf(run.packages.transformers || "") === series);
    const others = family.runs.length - mine.length;
    if (!family.runs.length) return [el("h3", {}, "Evidence"), el("p", { class: "note" }, "None was run yet: what is said here was declared, or read in the wheels.")];
    return [
      el("h3", {}, series ? `Evidence with transformers ${series}` : "Evidence"),
      mine.length ? runsOf(mine) : el("p", { class: "note" }, `Nothing was run with ${series}.`),
      series && others ? el("details", {}, el("summary", {}, `${others === 1 ? "One environment" : `${others} environments`} with other releases`), runsOf(family.runs.filter((run) => !mine.includes(run)))) : null,
    ];
  }

  function facts(family) {
    const found = [];
    for (const [kind, window] of Object.entries(family.windows)) found.push(el("li", {}, el("code", {}, kind), window ? ` is in transformers ${window[0]} ${window[1] ? `to ${window[1]}` : "and later"}` : " is in no release of transformers"));
    for (const [name, need] of Object.entries(family.requires)) found.push(el("li", {}, "needs ", el("code", {}, `${name} ${need.versions}`), `: ${need.reason} (${need.grade || "declared"})`));
    for (const need of family.conditions) found.push(el("li", {}, "some models need ", el("code", {}, `${need.package} ${need.versions}`), `: ${need.reason}`));
    for (const one of family.support) found.push(el("li", {}, `${one.capability} works with `, el("code", {}, `${one.package} ${one.versions}`), ` (seen at ${one.tested} of ${one.of} releases)`));
    if (family.overlay) found.push(el("li", {}, "from your own overlay"));
    for (const note of family.notes) found.push(el("li", {}, note));
    if (family.models.length) found.push(el("li", {}, "for example ", family.models.join(", ")));
    return el("ul", {}, found);
  }

  function top(title, id, badge) {
    const close = el("button", { type: "button" }, "Close");
    close.addEventListener("click", () => { location.hash = ""; $("query").focus(); });
    return el("div", { class: "top" }, el("div", {}, el("h2", { id: "answer-title" }, title, id ? el("code", {}, id) : null), badge), close);
  }

  function because(found) {
    return found ? [el("h3", {}, "Because"), el("ul", {}, found.evidence.map((line) => el("li", {}, line)),
      found.alternatives.length ? el("li", {}, "could also be ", found.alternatives.map((id, at) => [at ? ", " : "", el("a", { href: `#${encodeURIComponent(id)}` }, byId.get(id) ? byId.get(id).title : id)])) : null)] : null;
  }

  function showFamily(family, series, found) {
    const row = rows.find((one) => one.dataset.family === family.id);
    const at = series ? data.series.indexOf(series) : -1;
    const state = at >= 0 ? stateOf(row.cells[at + 1], failures(family, series)) : null;
    const pins = found ? found.pins : family.known_good[0] || null;
    const own = pins === family.known_good[0];
    const grade = pins ? (own ? pins.grade || "declared" : family.kind === "remote-code" ? "declared" : "static") : null;
    const chosen = at >= 0 ? data.releases.map((one, index) => (seriesOf(one.version) === series ? index : -1)).filter((index) => index >= 0) : [];
    const broken = family.breaks.map((id) => breakOf(id, chosen)).filter(Boolean);
    const stopped = family.breaks.some((id) => data.breaks[id] && data.breaks[id].affects.includes("load") && chosen.some((release) => data.breaks[id].inside.includes(release)));
    const body = [];
    if (family.unpinnable) body.push(el("div", { class: "caution" }, el("b", {}, "No versions can be pinned: "), family.unpinnable));
    if (pins) body.push(el("h3", {}, family.unpinnable ? "What saved this config" : own ? "Recommended versions" : "Versions for this config"), el("p", {}, pinned(pins.packages).map((line, index) => [index ? ", " : "", el("code", {}, line)]), " ", el("span", { class: `badge ${grade}` }, grade)), commands(pins, own ? family.id : null));
    const there = at >= 0 ? besides(family, series, chosen, state, stopped) : null;
    present(top(family.title, family.id, at >= 0 ? el("span", { class: `badge ${state.name}` }, `transformers ${series}: ${state.words}`) : null),
      el("div", { class: "columns" }, el("div", {}, because(found), there, body),
        el("div", {}, el("h3", {}, "What is known"), facts(family), broken.length ? [el("h3", {}, chosen.length ? "Breaks that apply here" : "Breaks to know of"), broken] : null)),
      evidence(family, at >= 0 ? series : null));
    mark(family.id, at);
  }

  function besides(family, series, chosen, state, stopped) {
    const releases = chosen.map((index) => data.releases[index]);
    const known = releases.filter((one) => !one.yanked && (family.match.model_type || []).some((kind) => engine.knows(one.version, kind)));
    const last = known[known.length - 1];
    const yanked = releases.filter((one) => one.yanked).map((one) => one.version);
    return [
      el("h3", {}, `Beside transformers ${series}`),
      el("p", {}, `${releases.length === 1 ? "One release" : `${releases.length} releases`}, ${releases[0].date} to ${releases[releases.length - 1].date}`, yanked.length ? `; yanked: ${yanked.join(", ")}` : "", `. ${sentence(state.words)}.`),
      last && family.kind === "native" && state.name !== "fails" && !stopped && last.newer ? [el("p", { class: "note" }, "The last of them, with the peft and torch of its day:"), command(`envpin run ${pinned(last.pins).join(",")} -- python train.py`)] : null,
    ];
  }

  function showType(found) {
    const window = engine.spans(found.kind);
    present(top(`Not in the matrix: ${found.kind}`, null, null), el("div", { class: "columns" }, el("div", {},
      el("p", {}, window ? `The type is in transformers ${window[0]} ${window[1] ? `to ${window[1]}` : "and later"}; read in the wheels, nothing was run.` : `No release of transformers up to ${engine.newest} knows this type: it brings its own code, or is newer.`),
      because(found)),
    el("div", {}, found.pins && found.pins.python ? commands(found.pins, null) : el("p", { class: "note" }, "No versions follow from this."))));
    mark(null, -1);
  }

  function present(...parts) {
    const answer = $("answer");
    answer.replaceChildren(...parts.flat(9).filter(Boolean));
    answer.hidden = false;
  }

  function sentence(text) { return text.charAt(0).toUpperCase() + text.slice(1); }

  function failures(family, series) {
    const bad = family.runs.filter((run) => seriesOf(run.packages.transformers || "") === series).flatMap((run) => run.steps.filter(([, outcome]) => outcome === "fail" || outcome === "timeout"));
    return [...new Set(bad.map(([step]) => step))];
  }

  function stateOf(cell, failed) {
    const name = Object.keys(WORDS).find((one) => cell.classList.contains(one)) || "none";
    const words = [WORDS[name], cell.classList.contains("partly") ? `${failed && failed.length ? failed.join(" and ") : "a later step"} failed in one environment or more` : "", cell.classList.contains("broken") ? "a known break applies" : "", cell.classList.contains("pinned") ? "the recommended pins are of this series" : ""];
    return { name, words: words.filter(Boolean).join("; ") };
  }

  function mark(id, at) {
    for (const row of rows) row.classList.toggle("on", row.dataset.family === id);
    for (const cell of grid.querySelectorAll("td.at")) cell.classList.remove("at");
    heads.forEach((head, index) => head.classList.toggle("on", index === at));
    const row = rows.find((one) => one.dataset.family === id);
    if (row && at >= 0) row.cells[at + 1].classList.add("at");
  }

  // --- the map: one cell is in the tab order, arrows move it
  let current = null;
  function rest(cell) {
    if (current) current.tabIndex = -1;
    current = cell;
    cell.tabIndex = 0;
  }
  grid.setAttribute("role", "grid");
  // A row's first cell holds the link to its family: that is what arrows reach there.
  const stop = (row, at) => (at ? row.cells[at] : row.cells[0].firstElementChild);
  for (const row of rows) stop(row, 0).tabIndex = -1;
  for (const row of rows) for (let at = 1; at < row.cells.length; at++) {
    const cell = row.cells[at];
    cell.tabIndex = -1;
    cell.setAttribute("aria-label", `${row.cells[0].textContent}, transformers ${data.series[at - 1]}: ${stateOf(cell).words}`);
  }
  grid.addEventListener("mouseover", (event) => {
    const cell = event.target.closest("td[aria-label]");
    if (cell && !cell.title) cell.title = cell.getAttribute("aria-label");
  });
  rest(rows[0].cells[data.series.length]);
  const open = (cell) => { const row = cell.parentElement; rest(cell); go(row.dataset.family, data.series[cell.cellIndex - 1]); };
  grid.addEventListener("click", (event) => { const cell = event.target.closest("td[aria-label]"); if (cell) open(cell); });
  grid.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td[aria-label], tbody th");
    if (!cell || event.altKey || event.metaKey) return;
    const visible = rows.filter((row) => !row.hidden), line = visible.indexOf(cell.parentElement), last = data.series.length;
    const moves = { ArrowLeft: [line, cell.cellIndex - 1], ArrowRight: [line, cell.cellIndex + 1], ArrowUp: [line - 1, cell.cellIndex], ArrowDown: [line + 1, cell.cellIndex],
      Home: [event.ctrlKey ? 0 : line, 0], End: [event.ctrlKey ? visible.length - 1 : line, last], PageUp: [Math.max(0, line - 10), cell.cellIndex], PageDown: [Math.min(visible.length - 1, line + 10), cell.cellIndex] };
    if (cell.cellIndex && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); open(cell); return; }
    const to = moves[event.key];
    if (!to) return;
    event.preventDefault();
    const target = visible[to[0]] && to[1] >= 0 && to[1] <= last ? stop(visible[to[0]], to[1]) : null;
    if (target) { rest(target); target.focus(); }
  });

  // --- the question
  const told = $("told");
  const names = data.families.map((family) => [family.id, family.title, ...family.models, ...(family.match.model_type || [])].join("\n").toLowerCase());
  function filter(keep) {
    let count = 0;
    rows.forEach((row, at) => { row.hidden = !keep(at); count += row.hidden ? 0 : 1; });
    for (const row of document.querySelectorAll("#list tbody tr")) row.hidden = rows.find((one) => one.dataset.family === row.dataset.family).hidden;
    $("nothing").hidden = count > 0;
    const first = rows.find((row) => !row.hidden);
    if (first && current.closest("tr").hidden) rest(first.cells[data.series.length]);
    return count;
  }

  function resolved(config, name) {
    const found = engine.match(config, name);
    if (found.family) showFamily(found.family, null, found);
    else if (found.kind) showType(found);
    else $("answer").hidden = true;
    return found;
  }

  function ask() {
    const text = $("query").value.trim();
    if (!text) { filter(() => true); told.textContent = ""; if (!location.hash.slice(1)) { $("answer").hidden = true; mark(null, -1); } return; }
    if (text.startsWith("{")) {
      filter(() => true);
      let config;
      try { config = JSON.parse(text); } catch (error) { told.textContent = `This is not a whole JSON document yet: ${error.message}`; return; }
      const own = typeof config._name_or_path === "string" && config._name_or_path.trim() && !/^[./]/.test(config._name_or_path) ? config._name_or_path : null;
      const found = resolved(config, own);
      told.textContent = found.certainty === "unknown" ? found.note || "Nothing was recognised: the config says no type that is known." :
        found.certainty === "not listed" ? "The matrix does not list this model; what the wheels tell is below." :
        found.certainty === "ambiguous" ? (found.alternatives.length ? `The likelier of several: ${found.family.title}.` : `By its type this is ${found.family.title}.`) : `This is ${found.family.title}.`;
      return;
    }
    const wanted = text.toLowerCase();
    let count = filter((at) => names[at].includes(wanted));
    if (!count) {
      const found = Object.hasOwn(data.types, wanted) ? resolved({ model_type: wanted }, null) : resolved(null, text);
      if (found.family) { filter((at) => data.families[at].id === found.family.id); told.textContent = `By its name this is ${found.family.title}.`; return; }
      if (found.note) { filter(() => true); told.textContent = found.note; return; }
      if (found.kind) { filter(() => true); told.textContent = `${found.kind} is a model type, not a family of the matrix.`; return; }
      told.textContent = "Nothing is called like that. Paste the model's config.json: that decides more than a name.";
      return;
    }
    told.textContent = count === 1 ? "One family." : `${count} families.`;
    if (count === 1) showFamily(data.families[rows.findIndex((row) => !row.hidden)], null, null);
    else { $("answer").hidden = true; mark(null, -1); }
  }

  function grow() { const box = $("query"); box.style.height = "auto"; box.style.height = `${Math.min(box.scrollHeight + 2, 288)}px`; }
  let waiting;
  $("query").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { if (location.hash) history.replaceState(null, "", location.pathname + location.search); ask(); grow(); }, 60); });
  $("query").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !$("query").value.trim().startsWith("{")) { event.preventDefault(); ask(); if (!$("answer").hidden) $("answer").focus(); }
    if (event.key === "Escape") { $("query").value = ""; ask(); grow(); }
  });
  $("ask").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(TEXTAREA|INPUT)$/.test(document.activeElement.tagName)) { event.preventDefault(); $("query").focus(); }
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (!file) return;
    $("query").value = file.size < 16e6 ? await file.text() : "";
    ask(); grow();
  });

  // --- the address: #family or #family@series
  function go(id, series) { const hash = `#${encodeURIComponent(id)}${series ? `@${series}` : ""}`; if (location.hash === hash) follow(); else location.hash = hash; }
  function follow() {
    let text = "";
    try { text = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const [id, series] = text.split("@");
    const family = byId.get(id);
    if (family) {
      showFamily(family, data.series.includes(series) ? series : null, null);
      $("answer").focus({ preventScroll: true });
      $("answer").scrollIntoView({ block: "start" });
    } else if (!text) ask();
  }
  addEventListener("hashchange", follow);
  // It opens at the series that most families are pinned to; what is older and newer lies to the left and right of it.
  function opening() {
    const counts = new Map();
    for (const cell of grid.querySelectorAll("td.pinned")) counts.set(cell.cellIndex, (counts.get(cell.cellIndex) || 0) + 1);
    const [column] = [...counts].sort((one, other) => other[1] - one[1] || other[0] - one[0])[0] || [data.series.length];
    const box = $("scroll"), cell = rows[0].cells[column], names = rows[0].cells[0].offsetWidth;
    box.scrollLeft = cell.offsetLeft - names - (box.clientWidth - names - cell.offsetWidth) / 2;
  }
  opening();
  follow();
  window.envpinMatch = (config, name) => { const found = engine.match(config, name); return { family: found.family && found.family.id, certainty: found.certainty, pins: found.pins && found.pins.packages, alternatives: found.alternatives }; };
})();
