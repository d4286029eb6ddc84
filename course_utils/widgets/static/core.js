// Shared by every widget of the course. A widget's module is this file followed by its own, which ends in the one
// `export default { render }`. Text reaches the page only as text: make() and draw() set textContent, never markup.

// ---------------------------------------------------------------- elements

/** An HTML element. options: text, class, data (dataset), on ({event: listener}); everything else is an attribute. */
function make(tag, options = {}, ...children) {
  return fill(document.createElement(tag), options, children);
}

/** An SVG element, with the same options. */
function draw(tag, options = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), options, children);
}

function fill(node, { text, data = {}, on = {}, ...attributes }, children) {
  if (text !== undefined) node.textContent = text;
  Object.assign(node.dataset, data);
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(name, value);
  }
  if (node.matches("a, button, input, select, textarea, [tabindex]")) keepKeys(node);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** JupyterLab takes "x" or an arrow key as a command of the notebook unless the focused element itself says no. */
const keepKeys = (node) => node.setAttribute("data-lm-suppress-shortcuts", "true");

/** Text in which `code` between backticks becomes a <code> element. Returns a list of nodes. */
function withCode(text) {
  return String(text).split("`").map((part, index) => (index % 2 ? make("code", { text: part }) : part));
}

/** A name with an index below it: sub("h", "t-1"). */
function sub(name, index) {
  return make("span", {}, make("i", { text: name }), make("sub", { text: String(index) }));
}

/** The same for SVG: an array of <tspan>. */
function svgSub(name, index) {
  return [
    draw("tspan", { text: name, "font-style": "italic" }),
    draw("tspan", { text: String(index), dy: 3, "font-size": "0.78em" }),
    draw("tspan", { text: "\u200b", dy: -3 }),
  ];
}

// ---------------------------------------------------------------- the card

/** Head line (title, muted note, controls), body, error line, one read-out line that screen readers speak. */
function makeCard(el, { title, note = "", kind }) {
  const card = {
    title: make("span", { class: "rta-title", text: title }),
    note: make("span", { class: "rta-note", text: note }),
    controls: make("span", { class: "rta-controls" }),
    body: make("div", { class: "rta-body" }),
    error: make("div", { class: "rta-error", role: "alert" }),
    readout: make("div", { class: "rta-readout", role: "status", "aria-live": "polite" }),
  };
  card.head = make("div", { class: "rta-head" }, card.title, card.note, card.controls);
  card.root = make(
    "section",
    { class: "rta", "aria-label": title, data: { kind, state: "ready" } },
    card.head, card.body, card.error, card.readout,
  );
  card.say = (...nodes) => card.readout.replaceChildren(...nodes.filter((node) => node !== null));
  card.fail = (message) => { card.error.textContent = message; card.root.dataset.state = message ? "error" : "ready"; };
  card.busy = (busy) => {
    card.root.classList.toggle("rta-busy", busy);
    card.root.setAttribute("aria-busy", String(busy));
  };
  el.append(card.root);
  return card;
}

/** Run a callback; an error becomes one line in the card, and what was drawn before stays. */
function guarded(card, callback) {
  return (...values) => {
    try {
      return callback(...values);
    } catch (error) {
      card.fail(`This picture could not be drawn: ${error.message}`);
      return undefined;
    }
  };
}

// ---------------------------------------------------------------- controls

/** A row of buttons of which one is pressed. options: [[value, label], ...]. */
function makeSwitch(label, options, value, changed) {
  const buttons = options.map(([option, text]) =>
    make("button", { type: "button", text, "aria-pressed": String(option === value), data: { value: option },
                     on: { click: () => { group.choose(option); changed(option); } } }));
  const group = make("span", { class: "rta-switch", role: "group", "aria-label": label }, ...buttons);
  group.choose = (chosen) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === String(chosen)));
  };
  return group;
}

/** A labelled range. `show` turns the number into the text behind it. */
function makeSlider({ label, min, max, step, value, show = String, changed }) {
  const output = make("output", { class: "rta-mono", text: show(value) });
  const input = make("input", { type: "range", min, max, step, "aria-label": label, "aria-valuetext": show(value) });
  input.value = value;
  const slider = make("label", { class: "rta-slider" }, make("span", { text: label }), input, output);
  slider.input = input;
  slider.put = (number) => {
    input.value = number;
    output.textContent = show(number);
    input.setAttribute("aria-valuetext", show(number));
  };
  input.addEventListener("input", () => { slider.put(Number(input.value)); changed(Number(input.value)); });
  return slider;
}

/** A list of sentences to choose from; it springs back after each choice. Hidden where there is none. */
function makeExamples(texts, chosen) {
  const select = make("select", { "aria-label": "Examples" }, make("option", { value: "", text: "examples" }),
    ...texts.map((text, index) => make("option", { value: index, text: sentenceText(text, 60) })));
  select.hidden = texts.length === 0;
  select.addEventListener("change", () => {
    if (select.value === "") return;
    const text = texts[Number(select.value)];
    select.value = "";
    chosen(text);
  });
  return select;
}

/** From now on a refused sentence is told in short: what the grammar covers, too long for a card, goes to the title. */
function foldGrammar(card) {
  const { fail } = card;
  card.fail = (message) => {
    const cut = message.indexOf(" The grammar covers ") + 1;
    fail(cut ? message.slice(0, cut).trim() : message);
    card.error.title = cut ? message.slice(cut).trim() : "";
  };
}

const prefersCalm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Back, Play and Step. get() and last() are positions, move(position) draws one; pause: milliseconds to read each. */
function makePlayer({ first, last, get, move, signal, pause = 800 }) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  const step = (by) => {
    const next = get() + by;
    if (next < first || next > last()) { stop(); return; }
    move(next);
    if (next === last()) stop();
  };
  const start = () => {
    if (get() >= last()) move(first);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => step(1), prefersCalm() ? 2 * pause : pause);
  };
  const button = (text, click) => make("button", { type: "button", text, on: { click } });
  const play = button("Play", () => (timer === null ? start() : stop()));
  const player = make("span", { class: "rta-switch", role: "group", "aria-label": "Steps" },
    button("Back", () => { stop(); step(-1); }), play, button("Step", () => { stop(); step(1); }));
  player.stop = stop;
  signal?.addEventListener("abort", stop);
  return player;
}

/** Whether a key is meant for a control inside the node, or for the browser; then the node must leave it alone. */
function meantForOthers(node, event) {
  const control = event.target.closest("a, button, input, select, textarea");
  const inside = control !== null && control !== node && node.contains(control);
  return inside || event.ctrlKey || event.altKey || event.metaKey;
}

/** Arrow keys, Home and End over a grid: one tab stop. get() -> [row, column]; move(row, column); enter() optional. */
function roving(node, { size, get, move, enter }) {
  node.tabIndex = 0;
  node.setAttribute("role", "application");       // a screen reader then leaves the arrow keys to the picture
  keepKeys(node);
  node.addEventListener("keydown", (event) => {
    if (meantForOthers(node, event)) return;
    const [rows, columns] = size();
    const [row, column] = get();
    const targets = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1], Home: [row, 0], End: [row, columns - 1],
    };
    if (event.key === "Enter" && enter) enter();
    else if (targets[event.key]) move(within(targets[event.key][0], 0, rows - 1), within(targets[event.key][1], 0, columns - 1));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

// ---------------------------------------------------------------- links to the chapters

/** The folder of the notebook that the card stands in: JupyterLab knows it, or its address, or what Python said. */
function folderHere(root, known) {
  const tab = [...(window.jupyterapp?.shell?.widgets("main") ?? [])].find((widget) => widget.node.contains(root));
  const path = tab?.context?.path ?? decodeURIComponent(window.location.pathname).match(/\/tree\/(.*\.ipynb)$/)?.[1];
  return path === undefined ? known : path.split("/").slice(0, -1).join("/");
}

/** The server's address, which JupyterLab writes into its page. */
function baseUrl() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl || "/";
  } catch {
    return null;
  }
}

/** Whether the top of a cell can be seen in an open notebook. */
function seesCell(tab, node) {
  const top = node.getBoundingClientRect().top - tab.content.node.getBoundingClientRect().top;
  return top > -20 && top < tab.content.node.clientHeight - 60;
}

/**
 * Go to a cell of a notebook in JupyterLab. A chapter that has only just been opened draws its cells one after the
 * other, and would lose the wish; so this waits for the cell, and asks until it stays in view or the reader acts.
 */
async function goToCell(tab, cell) {
  await tab.context?.ready;
  let acted = false;
  const act = () => { acted = true; };
  for (const kind of ["wheel", "pointerdown", "keydown"]) tab.node.addEventListener(kind, act, { once: true, capture: true });
  const node = tab.content?.widgets?.find(({ model }) => model.id === cell)?.node;      // none: a copy older than this link
  for (let turn = 0, seen = 0; node && turn < 500 && seen < 3 && !acted && !tab.isDisposed; turn += 1) {
    const visible = node.isConnected && seesCell(tab, node);
    if (node.isConnected && !visible) tab.setFragment(`#cell-id=${cell}`).catch(() => null);
    seen = visible ? seen + 1 : 0;
    await new Promise((done) => { setTimeout(done, 300); });
  }
}

/**
 * Links to notebooks that lie beside this one, and to their cells. folder: where this one lies, as Python knows it.
 * link(file, cell, options, ...children) makes one; aim() gives all links their address, once the card is in the page.
 */
function makeNeighbours(card, folder) {
  const path = (file) => [folderHere(card.root, folder), file].filter(Boolean).join("/");

  function address(file, cell) {
    const base = baseUrl();
    const encoded = path(file).split("/").map(encodeURIComponent).join("/");
    return (base === null ? encodeURIComponent(file) : `${base}lab/tree/${encoded}`) + (cell ? `#cell-id=${encodeURIComponent(cell)}` : "");
  }

  /** JupyterLab opens the notebook in a tab and goes to the cell; with Ctrl, Shift, or elsewhere, the link itself works. */
  async function open(event, file, cell) {
    const lab = window.jupyterapp;
    if (!lab?.commands || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    try {
      const tab = await lab.commands.execute("docmanager:open", { path: path(file) });
      if (cell && tab?.setFragment) await goToCell(tab, cell);
    } catch (error) {
      card.fail(`${path(file)} did not open: ${String(error.message ?? error).split("\n")[0]}`);
    }
  }

  const link = (file, cell, options = {}, ...children) => make("a", { target: "_blank", rel: "noopener", ...options,
    data: { ...options.data, file, cell: cell ?? "" }, on: { ...options.on, click: (event) => open(event, file, cell) } }, ...children);
  const aim = () => { for (const node of card.root.querySelectorAll("a[data-file]")) node.href = address(node.dataset.file, node.dataset.cell); };
  return { path, link, aim };
}

/** Call back whenever the card comes into view, also in a tab of JupyterLab that is shown again. */
function whenSeen(card, callback, signal) {
  const viewer = new IntersectionObserver(([entry]) => { if (entry.isIntersecting) callback(); });
  viewer.observe(card.root);
  signal?.addEventListener("abort", () => viewer.disconnect());
}

// ---------------------------------------------------------------- numbers and text

const within = (value, low, high) => Math.min(Math.max(value, low), high);

/** A real minus sign, so that columns of numbers line up. */
const fixed = (value, digits = 3) => value.toFixed(digits).replace("-", "\u2212");

const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const powerOfTen = (exponent) => `10${Array.from(String(exponent), (digit) => SUPERSCRIPTS[digit]).join("")}`;

/** 3.2×10⁻⁷, or a plain number where that is shorter. */
function scientific(value, digits = 2) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return "∞";
  if (Math.abs(value) >= 0.01 && Math.abs(value) < 10000) return String(Number(value.toPrecision(digits + 1)));
  const [mantissa, exponent] = value.toExponential(digits).split("e");
  return `${mantissa}×${powerOfTen(Number(exponent))}`;
}

const NAMED = { " ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍", "\u007f": "␡", "\u00a0": "⍽" };

/** A token one can see: ␣ for a space, ↵ for a line end, names for control characters and direction marks. */
function legible(token) {
  return Array.from(String(token), (character) => {
    if (NAMED[character]) return NAMED[character];
    const code = character.codePointAt(0);
    if (code < 32) return String.fromCodePoint(0x2400 + code);
    if ((code >= 0x200b && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069)
        || code === 0xfeff) return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    return character;
  }).join("");
}

/** At most `most` characters, with an ellipsis in place of the rest. */
function shortened(text, most) {
  const characters = Array.from(text);
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text;
}

/** A sentence as people read it: its spaces stay spaces, everything else is legible. */
const sentenceText = (text, most) => shortened(legible(text).replaceAll("␣", " "), most);

// ---------------------------------------------------------------- tensors

const ARRAYS = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array, int32: Int32Array };

/** {shape, dtype, data} as Python sent it -> {shape, data: typed array}. Bytes arrive unaligned, so they are copied. */
function decode({ shape, dtype, data }) {
  const view = ArrayBuffer.isView(data) ? data : new DataView(data);
  const array = new ARRAYS[dtype](view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const size = shape.reduce((product, axis) => product * axis, 1);
  if (array.length !== size) throw new Error(`${array.length} numbers came for a shape of ${shape.join("×")}`);
  return { shape, data: array };
}

// ---------------------------------------------------------------- colours

const rgb = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
const blend = (from, to, part) => from.map((value, index) => Math.round(value + (to[index] - value) * part));
const css = (colour) => `rgb(${colour.join(" ")})`;

/** 256 steps through the given colours. */
function ramp(...stops) {
  return Array.from({ length: 256 }, (_, step) => {
    const place = (step / 255) * (stops.length - 1);
    const before = Math.min(Math.floor(place), stops.length - 2);
    return blend(stops[before], stops[before + 1], place - before);
  });
}

/** The ramps of the theme that is on now. weight: 0…1, signed: −1…1; each gives [r, g, b]. */
function readTheme(root) {
  const style = getComputedStyle(root);
  const colour = (name) => rgb(style.getPropertyValue(`--rta-${name}`).trim());
  const weights = ramp(colour("weight-0"), colour("weight-1"));
  const signs = ramp(colour("negative"), colour("zero"), colour("positive"));
  return {
    mask: css(colour("mask")),
    weight: (value) => weights[Math.round(within(value, 0, 1) * 255)],
    signed: (value) => signs[Math.round((within(value, -1, 1) + 1) * 127.5)],
  };
}

/** Black or white, whichever can be read on the colour. */
const textOn = ([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#0b1622" : "#ffffff");

/**
 * The colours of the theme that is on, as a function to call while drawing: before the card stands in the page it has
 * none. `changed` is called when the reader switches the theme.
 */
function followTheme(root, changed, signal) {
  let theme = null;
  const observer = new MutationObserver(() => requestAnimationFrame(() => { theme = null; changed(); }));
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  signal?.addEventListener("abort", () => observer.disconnect());
  return () => {
    theme ??= readTheme(root);
    return theme;
  };
}

// ---------------------------------------------------------------- drawing

/** A canvas under an SVG, both as wide as their parent. paint(width) draws; it is called again when the width changes. */
function makeStage(parent, { height, label, paint, signal }) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const svg = draw("svg", { "aria-hidden": "true" });
  const stage = make("div", { class: "rta-stage", role: "img", "aria-label": label }, canvas, svg);
  let width = 0;
  const redraw = () => { if (width > 0) paint(width); };
  const observer = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now === width || now === 0) return;
    width = now;
    redraw();
  });
  observer.observe(stage);
  signal?.addEventListener("abort", () => observer.disconnect());
  parent.append(stage);

  /** Empty canvas and SVG of that size; the drawing context counts in CSS pixels. */
  const clear = (wide = width, high = height) => {
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(wide * scale) || canvas.height !== Math.round(high * scale)) {
      canvas.width = Math.round(wide * scale);
      canvas.height = Math.round(high * scale);
      canvas.style.width = `${wide}px`;
      canvas.style.height = `${high}px`;
      stage.style.height = `${high}px`;
      svg.setAttribute("width", wide);
      svg.setAttribute("height", high);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, wide, high);
    svg.replaceChildren();
    return context;
  };
  return { stage, svg, canvas, clear, redraw, add: (tag, options, ...children) => svg.appendChild(draw(tag, options, ...children)) };
}

/** Grey diagonal lines: a cell that holds no value. */
function hatch(context, mask, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = mask;
  context.lineWidth = 1;
  context.beginPath();
  for (let start = x - height; start < x + width; start += 4) {
    context.moveTo(start, y + height);
    context.lineTo(start + height, y);
  }
  context.stroke();
  context.restore();
}

/** rows × columns cells, one pixel each. value(row, column) -> number, NaN has no colour; colour(value) -> [r, g, b]. */
function cellPicture({ rows, columns, value, colour }) {
  const pixels = new ImageData(columns, rows);
  const missing = [];
  let place = 0;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1, place += 4) {
      const number = value(row, column);
      if (Number.isNaN(number)) { missing.push([row, column]); continue; }
      const shade = colour(number);
      pixels.data[place] = shade[0];
      pixels.data[place + 1] = shade[1];
      pixels.data[place + 2] = shade[2];
      pixels.data[place + 3] = 255;
    }
  }
  const picture = new OffscreenCanvas(columns, rows);
  picture.getContext("2d").putImageData(pixels, 0, 0);
  return { picture, rows, columns, missing };
}

/** Fill a box with the cells of a cellPicture; cells without a value are hatched. */
function paintCells(context, { picture, rows, columns, missing }, mask, x, y, width, height) {
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, x, y, width, height);
  const [wide, high] = [width / columns, height / rows];
  for (const [row, column] of missing) hatch(context, mask, x + column * wide, y + row * high, wide, high);
}

/** An arrow from one point to another: a line with a small head. */
function arrow(add, [x1, y1], [x2, y2], kind = "") {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const corner = (turn) => `${x2 - 7 * Math.cos(angle + turn)},${y2 - 7 * Math.sin(angle + turn)}`;
  add("line", { class: `ink ${kind}`, x1, y1, x2: x2 - 5 * Math.cos(angle), y2: y2 - 5 * Math.sin(angle) });
  add("polygon", { class: `tip ${kind}`, points: `${x2},${y2} ${corner(0.42)} ${corner(-0.42)}` });
}

// ---------------------------------------------------------------- questions to the kernel

/**
 * put(name, value) changes a trait in the browser and tells Python at once.
 *
 * Waiting for the reader's hand to rest would lose a change: an echo of an older value may arrive in between, or the tab
 * may be closed.
 */
function makeSaver(model) {
  return (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
}

/**
 * Ask Python and take only the newest answer. `request` goes out with an id; Python answers in `answer` or `problem`
 * with the same id. Questions asked in quick succession become one; what comes late for an older one is dropped.
 */
function makeAsker({ model, answered, failed, busy, signal, wait = 80, patience = 8000 }) {
  let newest = 0;
  let typing = null;
  let waiting = null;
  let sent = 0;
  const settle = () => {
    clearTimeout(waiting);
    busy(false);
    if (sent) performance.measure("rta-answer", { start: sent });      // for whoever wants to know how long it took
    sent = 0;
  };
  const send = (question) => {
    sent = performance.now();
    newest = Math.max(newest, model.get("request")?.id ?? 0) + 1;
    model.set("request", { ...question, id: newest });
    model.save_changes();
    busy(true);
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      busy(false);
      failed("No answer from the kernel. Run the cell again to ask about other input; the picture shows the last answer.");
    }, patience);
  };
  model.on("change:answer", () => {
    const answer = model.get("answer");
    if (answer.id < newest) return;
    settle();
    failed("");
    answered(answer);
  });
  model.on("change:problem", () => {
    const problem = model.get("problem");
    if (problem.id < newest || !problem.message) return;
    settle();
    failed(problem.message);
  });
  signal?.addEventListener("abort", () => { clearTimeout(typing); clearTimeout(waiting); });
  return {
    ask: (question, now = false) => {
      clearTimeout(typing);
      if (now) send(question);
      else typing = setTimeout(() => send(question), wait);
    },
  };
}
