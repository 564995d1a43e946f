"use strict";
// The plot of the report: dots of all cells drawn into the pixels of a canvas, which takes milliseconds at 50,000 cells
// and needs neither WebGL nor a library. What is shown is in the address (#color=...), so that views can be shared.
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const canvas = byId("canvas"), plot = byId("plot"), tip = byId("tip"), status = byId("status");
  const MISSING_BYTE = 255, MISSING_CODE = 65535, LARGEST_BYTE = 254;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // --- data ---
  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }
  const words = async (text) => {
    const view = new DataView(await inflate(text));
    return Uint16Array.from({ length: data.n }, (_, cell) => view.getUint16(2 * cell, true));
  };
  const bytes = async (text) => new Uint8Array(await inflate(text));
  if (typeof DecompressionStream === "undefined") {
    status.textContent = "This browser is too old for the plot. The cards below work.";
    return;
  }
  const [xs, ys] = await Promise.all([words(data.x), words(data.y)]);
  for (const each of data.labellings) each.codes = await words(each.codes);
  for (const each of data.scores) each.values = await bytes(each.values);
  if (data.second) data.second.codes = await words(data.second.codes);
  const names = data.names === null ? null : new TextDecoder().decode(await inflate(data.names)).split("\n");
  // Without a prototype, so that no name in an address but those of the page is found in them.
  const named = (list) => Object.assign(Object.create(null), Object.fromEntries(list.map((each) => [each.id, each])));
  const scores = named(data.scores);
  const genes = new Map(data.genes.map((gene) => [gene.name, gene]));
  const labellings = named(data.labellings);
  const first = data.labellings[0];

  // --- state, from the address and back ---
  const state = { color: first.id, unsure: false, novel: false, limits: { ...data.limits }, only: {} };
  for (const each of data.labellings) state.only[each.id] = new Set();
  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const color = given.get("color") || "";
    const gene = color.startsWith("gene:") ? color.slice(5) : "";
    state.color = genes.has(gene) || color in labellings || color in scores ? color : first.id;
    for (const name of ["unsure", "novel"]) {
      const value = given.get(name);
      state[name] = value !== null && byId(name) !== null;
      const limit = Number.parseFloat(value);
      state.limits[name] = limit >= 0 && limit <= 1 && value.includes(".") ? limit : data.limits[name];
    }
    for (const each of data.labellings) {
      state.only[each.id] = new Set(given.getAll(each.id).map((label) => each.labels.indexOf(label)).filter((code) => code >= 0));
    }
  }
  function writeAddress() {
    const wanted = new URLSearchParams();
    if (state.color !== first.id) wanted.set("color", state.color);
    for (const name of ["unsure", "novel"]) if (state[name]) wanted.set(name, state.limits[name].toFixed(2));
    for (const each of data.labellings) for (const code of state.only[each.id]) wanted.append(each.id, each.labels[code]);
    history.replaceState(null, "", `#${wanted}`);
  }

  // --- what is shown, and in which colour ---
  const shown = new Uint8Array(data.n);
  let order = new Uint32Array(0), colours = new Uint32Array(0), ramp = [], nShown = 0;
  const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  const packedColour = (hex) => channels(hex).reduce((all, part, at) => all | (part << (8 * at)), 0) >>> 0;
  // From little to much: darker on a light page, brighter on a dark one, so that lightness alone tells the value.
  const RAMPS = {
    light: ["#c9d0d9", "#a6cbe0", "#5fa5cf", "#2878b0", "#0d4a85", "#071f47"],
    dark: ["#4d5563", "#31688e", "#21918c", "#5ec962", "#b5de2b", "#fde725"],
  };
  function rampColours() {
    const stops = RAMPS[dark.matches ? "dark" : "light"].map(channels);
    return Uint32Array.from({ length: LARGEST_BYTE + 1 }, (_, value) => {
      const at = (value / LARGEST_BYTE) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
      return stops[low].reduce((all, part, c) => all | (Math.round(part + (stops[low + 1][c] - part) * (at - low)) << (8 * c)), 0) >>> 0;
    });
  }
  let shuffled = null;
  function shuffle() { // the same order each time, so that no label lies above all others
    if (shuffled) return shuffled;
    shuffled = Uint32Array.from({ length: data.n }, (_, cell) => cell);
    let seed = 1;
    for (let last = data.n - 1; last > 0; last--) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const other = seed % (last + 1);
      [shuffled[last], shuffled[other]] = [shuffled[other], shuffled[last]];
    }
    return shuffled;
  }
  const current = () => labellings[state.color] || null;
  const currentScore = () => scores[state.color] || genes.get(state.color.slice(5));
  async function currentValues() {
    const score = currentScore();
    if (typeof score.values === "string") score.values = await bytes(score.values);
    return score.values;
  }
  function filter() {
    const limit = { unsure: state.limits.unsure * LARGEST_BYTE, novel: state.limits.novel * LARGEST_BYTE };
    const filters = data.labellings.filter((each) => state.only[each.id].size);
    nShown = 0;
    for (let cell = 0; cell < data.n; cell++) {
      let keep = filters.every((each) => state.only[each.id].has(each.codes[cell]));
      if (keep && state.unsure) keep = scores.confidence.values[cell] < limit.unsure;
      if (keep && state.novel) {
        const novelty = scores.novelty.values[cell];
        keep = novelty !== MISSING_BYTE && novelty > limit.novel;
      }
      shown[cell] = keep ? 1 : 0;
      nShown += shown[cell];
    }
  }
  let peeked = -1; // the entry of the legend under the pointer, whose cells alone keep their colour
  async function paint() {
    const hidden = packedColour(dark.matches ? "#22262d" : "#edeff2"), missing = packedColour("#8c8c8c");
    const labelling = current();
    if (labelling) {
      const palette = labelling.colours.map(packedColour);
      const isSeen = (cell) => shown[cell] && (peeked < 0 || labelling.codes[cell] === peeked);
      colours = Uint32Array.from(shown, (_, cell) => (isSeen(cell) ? palette[labelling.codes[cell]] : hidden));
      order = Uint32Array.from(shuffle());
    } else {
      const values = await currentValues();
      ramp = rampColours();
      colours = Uint32Array.from(shown, (keep, cell) => !keep ? hidden : values[cell] === MISSING_BYTE ? missing : ramp[values[cell]]);
      order = Uint32Array.from(shuffle()).sort((one, other) => (values[one] % MISSING_BYTE) - (values[other] % MISSING_BYTE));
    }
    if (nShown < data.n || peeked >= 0) { // hidden cells below the others
      const below = order.filter((cell) => colours[cell] === hidden), above = order.filter((cell) => colours[cell] !== hidden);
      order.set(below);
      order.set(above, below.length);
    }
  }

  // --- drawing ---
  const extent = [xs, ys].map((values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [65535, 0]));
  const view = { scale: 1, x: 0, y: 0 }; // of the fitted plot; x, y: shift in pixels
  let ratio = 1, width = 0, height = 0, fit = { scale: 1, x: 0, y: 0 };
  function measure() {
    ratio = Math.min(window.devicePixelRatio || 1, 2);
    width = canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    height = canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const margin = 22 * ratio, [[left, right], [bottom, top]] = extent;
    const scale = Math.min((width - 2 * margin) / (right - left || 1), (height - 2 * margin) / (top - bottom || 1));
    fit = { scale, x: width / 2 - (scale * (left + right)) / 2, y: height / 2 + (scale * (bottom + top)) / 2 };
  }
  const screenX = (cell) => (xs[cell] * fit.scale + fit.x) * view.scale + view.x;
  const screenY = (cell) => (fit.y - ys[cell] * fit.scale) * view.scale + view.y;
  function dot(radius) { // shares of the pixels around a dot that it covers
    const reach = Math.ceil(radius), pixels = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const cover = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
        if (cover > 0) pixels.push([dx, dy, cover]);
      }
    }
    return [reach, pixels];
  }
  function dotRadius() {
    const room = Math.sqrt((width * height) / data.n);
    return Math.min(9 * ratio, Math.max(1.2 * ratio, 0.17 * room) * Math.sqrt(view.scale));
  }
  let drawnIn = 0;
  function draw() {
    const began = performance.now(), context = canvas.getContext("2d");
    const image = context.createImageData(width, height), pixels = image.data;
    const [reach, parts] = dot(dotRadius());
    for (const cell of order) {
      const x = Math.round(screenX(cell)), y = Math.round(screenY(cell));
      if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      const colour = colours[cell], red = colour & 255, green = (colour >> 8) & 255, blue = (colour >> 16) & 255;
      for (const [dx, dy, cover] of parts) {
        const at = 4 * ((y + dy) * width + x + dx), behind = pixels[at + 3] / 255;
        const keep = behind * (1 - cover), alpha = cover + keep;
        pixels[at] = (red * cover + pixels[at] * keep) / alpha;
        pixels[at + 1] = (green * cover + pixels[at + 1] * keep) / alpha;
        pixels[at + 2] = (blue * cover + pixels[at + 2] * keep) / alpha;
        pixels[at + 3] = 255 * alpha;
      }
    }
    context.putImageData(image, 0, 0);
    drawnIn = performance.now() - began;
  }
  let pending = 0;
  const redraw = () => { pending ||= requestAnimationFrame(() => { pending = 0; draw(); }); };

  // --- legend and status; all text is set as text ---
  function element(kind, attributes = {}, text = "") {
    const made = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  }
  const plain = (number) => number.toLocaleString("en");
  function legend() {
    const box = byId("legend");
    byId("legend-title").textContent = current() ? current().name : currentScore().name;
    byId("legend-all").hidden = !data.labellings.some((each) => state.only[each.id].size);
    box.replaceChildren(...(current() ? [] : scale()), ...entries(current() || first));
  }
  function scale() {
    const hex = (colour) => `#${[0, 8, 16].map((by) => ((colour >> by) & 255).toString(16).padStart(2, "0")).join("")}`;
    const bar = element("div", { class: "ramp", role: "img", "aria-label": "Colours from low to high" }), ends = element("div", { class: "ends" });
    bar.style.background = `linear-gradient(90deg, ${[0, 51, 102, 152, 203, 254].map((value) => hex(ramp[value]))})`;
    const unit = state.color.startsWith("gene:") ? "log-normalised expression" : "";
    ends.append(element("span", {}, "0"), element("span", {}, unit), element("span", {}, (currentScore().largest ?? 1).toLocaleString("en", { maximumFractionDigits: 2 })));
    return [bar, ends, element("strong", { class: "only" }, `only cells of ${first.name}`)];
  }
  function entries(labelling) { // what can be filtered by, in the colours of the plot where it has these
    const counts = new Uint32Array(labelling.labels.length), all = new Uint32Array(labelling.labels.length);
    labelling.codes.forEach((code, cell) => { all[code] += 1; counts[code] += shown[cell]; });
    return labelling.labels.map((label, code) => {
      const entry = element("button", { type: "button", class: "entry", "data-code": code, "aria-pressed": state.only[labelling.id].has(code) });
      const n = counts[code] === all[code] ? plain(all[code]) : `${plain(counts[code])} of ${plain(all[code])}`;
      if (labelling === current()) {
        const swatch = element("span", { class: "dot", "aria-hidden": "true" });
        swatch.style.background = labelling.colours[code];
        entry.append(swatch);
        entry.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") peek(code); });
        entry.addEventListener("pointerleave", () => peek(-1));
      }
      entry.append(element("span", { class: "label" }, label), element("span", { class: "n" }, n));
      entry.addEventListener("click", () => toggle(labelling.id, code));
      return entry;
    });
  }
  function controls() {
    const select = byId("colour");
    select.value = current() || scores[state.color] ? state.color : "";
    if (byId("gene")) byId("gene").value = state.color.startsWith("gene:") ? state.color.slice(5) : "";
    for (const name of ["unsure", "novel"]) {
      if (!byId(name)) continue;
      byId(name).checked = state[name];
      byId(`${name}-limit`).value = state.limits[name].toFixed(2);
    }
  }
  async function update() {
    peeked = -1;
    filter();
    await paint();
    controls();
    legend();
    draw();
    status.textContent = `${plain(nShown)} of ${plain(data.n)} drawn cells shown.`;
    Object.assign(plot.dataset, { shown: nShown, drawn: data.n, color: state.color, ms: drawnIn.toFixed(1) });
  }
  async function peek(code) {
    peeked = code;
    await paint();
    redraw();
  }
  const change = async () => { writeAddress(); await update(); };
  async function toggle(id, code) {
    const chosen = state.only[id];
    if (!chosen.delete(code)) chosen.add(code);
    await change();
    const entry = document.querySelector(`#legend [data-code="${code}"]`);
    if (entry) entry.focus({ preventScroll: true });
  }
  function colourBy(name) {
    state.color = name;
    return change();
  }

  // --- controls ---
  const select = byId("colour");
  for (const each of [...data.labellings, ...data.scores]) select.append(element("option", { value: each.id }, each.name));
  if (genes.size) select.append(element("option", { value: "", disabled: "", hidden: "" }, "gene"));
  select.addEventListener("change", () => colourBy(select.value));
  if (byId("gene")) {
    byId("genes").append(...data.genes.map((gene) => element("option", { value: gene.name })));
    const folded = new Map(data.genes.map((gene) => [gene.name.toLowerCase(), gene.name]));
    byId("gene").addEventListener("input", (event) => {
      const typed = event.target.value.trim(), found = genes.has(typed) ? typed : folded.get(typed.toLowerCase());
      if (found !== undefined && event.inputType !== "insertText") colourBy(`gene:${found}`);
    });
    byId("gene").addEventListener("change", (event) => {
      const typed = event.target.value.trim(), found = genes.has(typed) ? typed : folded.get(typed.toLowerCase());
      if (found !== undefined) colourBy(`gene:${found}`);
      else if (typed) status.textContent = `${typed} is not among the ${plain(genes.size)} genes on this page. Pass it as genes= when the page is written.`;
    });
  }
  for (const name of ["unsure", "novel"]) {
    if (!byId(name)) continue;
    byId(name).addEventListener("change", (event) => { state[name] = event.target.checked; change(); });
    byId(`${name}-limit`).addEventListener("change", (event) => {
      const limit = Number.parseFloat(event.target.value);
      if (limit >= 0 && limit <= 1) { state.limits[name] = limit; state[name] = true; }
      change();
    });
  }
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("legend-all").addEventListener("click", () => {
    for (const each of data.labellings) state.only[each.id].clear();
    change();
  });
  for (const button of document.querySelectorAll("button.show")) {
    button.addEventListener("click", async () => {
      state.color = first.id;
      state.unsure = state.novel = false;
      state.only[first.id] = new Set([Number(button.dataset.code)]);
      await change();
      plot.scrollIntoView({ block: "center" });
      canvas.focus({ preventScroll: true });
    });
  }
  for (const text of document.querySelectorAll(".gene[data-gene]")) {
    if (!genes.has(text.dataset.gene)) continue;
    const button = element("button", { type: "button", class: "gene", title: "Colour the plot by this gene" }, text.textContent);
    button.addEventListener("click", async () => { await colourBy(`gene:${text.dataset.gene}`); plot.scrollIntoView({ block: "center" }); });
    text.replaceWith(button);
  }

  // --- moving ---
  function zoom(by, x = width / 2, y = height / 2) {
    const scale = Math.min(60, Math.max(0.5, view.scale * by)), change = scale / view.scale;
    Object.assign(view, { scale, x: x - (x - view.x) * change, y: y - (y - view.y) * change });
    redraw();
  }
  function move(dx, dy) { view.x += dx; view.y += dy; redraw(); }
  function showAll() { Object.assign(view, { scale: 1, x: 0, y: 0 }); redraw(); }
  byId("zoom-in").addEventListener("click", () => zoom(1.5));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  byId("zoom-all").addEventListener("click", showAll);
  const place = (event) => [(event.clientX - canvas.getBoundingClientRect().left) * ratio, (event.clientY - canvas.getBoundingClientRect().top) * ratio];
  canvas.addEventListener("keydown", (event) => {
    const step = 40 * ratio;
    const actions = {
      ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0), ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
      "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: showAll,
    };
    if (!(event.key in actions) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    actions[event.key]();
  });
  canvas.addEventListener("wheel", (event) => { // with Ctrl, or once the plot has the focus: else the page scrolls
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.002), ...place(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(2, ...place(event)));
  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, place(event));
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.add("moving");
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => { pointers.delete(event.pointerId); canvas.classList.remove("moving"); });
  }
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event), before = pointers.get(event.pointerId);
    if (!before) { hover(...now); return; }
    tip.hidden = true;
    if (pointers.size === 1) move(now[0] - before[0], now[1] - before[1]);
    if (pointers.size === 2) {
      const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
      const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      zoom(distance(now) / Math.max(1, distance(before)), ...other);
    }
    pointers.set(event.pointerId, now);
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  function hover(x, y) {
    let best = -1, nearest = (10 * ratio + dotRadius()) ** 2;
    for (let cell = 0; cell < data.n; cell++) {
      if (!shown[cell]) continue;
      const distance = (screenX(cell) - x) ** 2 + (screenY(cell) - y) ** 2;
      if (distance < nearest) { nearest = distance; best = cell; }
    }
    tip.hidden = best < 0;
    if (best < 0) return;
    const rows = data.labellings.map((each) => each.labels[each.codes[best]]);
    if (data.second && data.second.codes[best] !== MISSING_CODE) rows.push(`second best: ${data.second.labels[data.second.codes[best]]}`);
    for (const each of data.scores) {
      if (each.values[best] !== MISSING_BYTE) rows.push(`${each.name} ${(each.values[best] / LARGEST_BYTE).toFixed(2)}`);
    }
    const gene = current() ? undefined : genes.get(state.color.slice(5));
    if (gene && state.color.startsWith("gene:")) rows.push(`${gene.name} ${((gene.values[best] / LARGEST_BYTE) * gene.largest).toFixed(2)}`);
    if (names) rows.push(names[best]);
    tip.replaceChildren(...rows.map((text) => element("div", {}, text)));
    const left = screenX(best) / ratio, top = screenY(best) / ratio;
    tip.style.left = `${Math.max(4, left > plot.clientWidth / 2 ? left - tip.offsetWidth - 12 : left + 12)}px`;
    tip.style.top = `${Math.max(4, Math.min(top + 12, plot.clientHeight - tip.offsetHeight - 4))}px`;
  }

  new ResizeObserver(() => { if (canvas.clientWidth * ratio !== width) { measure(); redraw(); } }).observe(plot);
  dark.addEventListener("change", update);
  window.addEventListener("hashchange", () => { readAddress(); update(); });
  readAddress();
  measure();
  await update();
  Object.assign(plot.dataset, { ready: performance.now().toFixed(0) });
})();
