// TransformerFlow: the block diagram as a machine. Python sends every number of a run; all stepping happens here.

const NAMES = { words: "word vectors", positions: "+ positions", attention: "self-attention",
  feed_forward: "feed-forward",
  sum: "add", norm: "layer norm", head: "linear", softmax: "softmax, pick" };
const SWITCHES = ["positions", "mask", "residual", "norm"];        // by the names that Python takes
// The diagram in pixels. The decoder mirrors the encoder, so that its boxes face the encoder's output.
const DRAWN = { width: 508, least: 336, box: 26, wide: 22, pill: 16, fold: 18, gap: 6, foot: 20, head: 24 };
const COLUMNS = {
  encoder: { stream: 86, boxes: [106, 230], wide: [60, 230], bars: 60, outward: -1 },
  decoder: { stream: 422, boxes: [260, 402], wide: [278, 448], bars: 448, outward: 1 },
};
const GUTTER = 245;                                      // where the encoder's output rises
const TENSOR = { height: 196, label: 62, norm: 66, mark: 14, likely: 90, slant: 30, row: 28 };

/** A run as Python sent it, with views into its numbers and the stations that a sentence passes. */
function readRun(answer) {
  const { data } = decode(answer.numbers);
  const view = (place) => place
    && { shape: place.shape, data: data.subarray(place.at, place.at + place.shape.reduce((a, b) => a * b, 1)) };
  const parts = answer.parts.map((part) => ({ ...part, values: view(part.values), weights: view(part.weights) }));
  const named = new Map(parts.map((part) => [part.name, part]));
  const stations = { encoder: [], decoder: [] };
  for (const part of parts) {
    if (part.kind === "hidden") continue;
    stations[part.side].push({ ...part, hidden: named.get(`${part.name}.hidden`) });
  }
  const head = stations.decoder.at(-1);
  if (head.kind === "head") stations.decoder.push({ ...head, name: "softmax", kind: "softmax" });
  for (const list of Object.values(stations)) list.forEach((station, index) => { station.index = index; });
  const layers = (side) => 1 + Math.max(...stations[side].map(({ layer }) => layer));
  const streams = [...stations.encoder, ...stations.decoder].filter(({ kind }) => ["words", "positions", "sum",
    "norm"].includes(kind));
  const longest = Math.max(...streams.map(({ values }) => largestNorm(values)));
  return { ...answer, stations, layers: { encoder: layers("encoder"), decoder: layers("decoder") }, longest,
    read: [answer.start, ...answer.target.slice(0, -1)], chances: decode(answer.probability), S: answer.source.length,
      T: answer.target.length };
}

/** ‖x‖ of one row. */
function normOf({ shape, data }, row) {
  let sum = 0;
  for (let place = row * shape[1]; place < (row + 1) * shape[1]; place += 1) sum += data[place] * data[place];
  return Math.sqrt(sum);
}
const largestNorm = (values) => Math.max(...Array.from({ length: values.shape[0] }, (_, row) => normOf(values, row)));

const classes = (...names) => names.filter(Boolean).join(" ");
const legibleText = (text, most = 14) => shortened(legible(text), most);

/** Formula of a part as nodes, and its symbols in words. size: the run's sizes; off: the parts switched off. */
function formulaOf(station, size, off) {
  const i = (text) => make("i", { text });
  const lower = (name, index) => make("span", {}, i(name), make("sub", { text: index }));
  const { C, H, V, F } = size;
  const gone = (...nodes) => make("s", {}, ...nodes);
  const cross = station.of === "cross_attention";
  const masked = station.of === "self_attention";
  switch (station.kind) {
    case "words": return [[i("x"), " = √", i("d"), " · ", i("E"), "[id]"],
      `E: a table, one row of d = ${C} numbers for each word; √d brings them near a position’s size.`];
    case "positions": return off.includes("positions")
      ? [[i("x"), " ", gone("+ ", i("p"))], "Positions are off: the machine sees which words there are, not where."]
      : [[i("x"), " + ", i("p")], "x: word vector; p: sines and cosines of the place, the same for every word there."];
    case "attention": {
      const mask = masked ? [" ", off.includes("mask") ? gone("+ mask") : "+ mask"] : [];
      const seen = off.includes("mask") ? "; no mask: all see all" : "; mask: −∞ at later keys";
      const told = cross ? "Q: queries, from the decoder; K, V: keys, values, from the encoder"
        : `Q, K, V: queries, keys, values, all from x${masked ? seen : ""}`;
      return [["softmax(", i("Q"), i("K"), "ᵀ/√", lower("d", "k"), ...mask, ")", i("V"), lower("W", "O")],
        `${told}; dₖ = ${C / H} a head; W_O mixes the heads.`];
    }
    case "feed_forward": return [[lower("W", "2"), " act(", lower("W", "1"), " ", i("x"), " + ", lower("b", "1"),
      ") + ", lower("b", "2")],
      `act: ReLU or GELU. W₁: ${C} → ${F} numbers, W₂: ${F} → ${C}. Each token alone; b₁, b₂: biases.`];
    case "sum": return off.includes("residual") ? [[gone(i("x"), " + "), " ", i("f"), "(", i("x"), ")"],
      `The residual is off: what came in is lost, only what ${sublayerName(station.of)} says goes on.`]
      : [[i("x"), " + ", i("f"), "(", i("x"), ")"], `x: what came in; f(x): what ${sublayerName(station.of)} says.`];
    case "norm": return off.includes("norm") ? [[i("x")], "The norm is off: every vector goes on as it is."]
      : [[i("g"), " · (", i("x"), " − μ) / σ + ", i("b")],
      `μ, σ: mean and standard deviation of this token’s ${C} numbers; g, b: trained gain and bias.`];
    case "head": return [[i("z"), " = ", i("W"), " ", i("x"), " + ", i("b")],
      `z: logits, one score for each of V = ${V} words; W, b: trained matrix and bias.`];
    default: return [[lower("p", "i"), " = e", make("sup", { text: "zᵢ" }), " / Σ", make("sub", { text: "j" }), " e",
      make("sup", { text: "zⱼ" })],
      `z: logits; p: probability of each of V = ${V} words. The likeliest is written, and read at the next step.`];
  }
}

/** What a station is called. */
function nameOf(station) {
  if (station.kind === "attention") return station.of === "self_attention" ? "masked self-attention"
    : sublayerName(station.of);
  return station.kind === "norm" && !station.of ? "last layer norm" : NAMES[station.kind];
}
const SUBLAYERS = { attention: "self-attention", self_attention: "self-attention", cross_attention: "cross-attention",
  feed_forward: "feed-forward" };
const sublayerName = (of) => SUBLAYERS[of] ?? legibleText(of, 24);

/** Where a station is: "decoder layer 2, at cross-attention". */
function placeOf({ side, layer, kind, of }) {
  const at = of && ["sum", "norm"].includes(kind) ? `, ${sublayerName(of)}` : "";
  return `${side}${layer >= 0 ? ` layer ${layer + 1}` : ""}${at}`;
}

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "transformer-flow", title: "Transformer" });
  // p: the station reached, encoder's first, then the decoder's once for each token. open: a part held open, else null.
  const view = { run: null, p: 0, pace: "part", open: null, head: -1, form: {}, layers: { encoder: 0, decoder: 0 },
    cursor: null, cell: [0, 0], polite: false };

  // ------------------------------------------------------------ where the sentence is
  const E = () => view.run.stations.encoder.length;
  const D = () => view.run.stations.decoder.length;
  const last = () => E() + view.run.T * D() - 1;
  /** {side, t, station}: t counts the tokens read from 0, −1 while the encoder reads. */
  function place(p = view.p) {
    if (p < E()) return { side: "encoder", t: -1, station: view.run.stations.encoder[p] };
    return { side: "decoder", t: Math.floor((p - E()) / D()), station: view.run.stations.decoder[(p - E()) % D()] };
  }
  const written = () => (view.p < E() ? 0 : Math.floor((view.p - E() + 1) / D()));
  /** Rows of a part that are computed by now. */
  function rowsOf(station) {
    const now = place();
    if (station.side === "encoder") return now.side === "decoder" || station.index <= now.station.index ? view.run.S
      : 0;
    return now.side === "encoder" ? 0 : now.t + (station.index <= now.station.index ? 1 : 0);
  }
  /** The first of these rows: where earlier rows change, each step has rows of its own. */
  const firstRow = (station, rows) => (view.run.anew && station.side === "decoder"
    && station.values.shape[0] > view.run.T ? (rows * (rows - 1)) / 2 : 0);
  const shownStation = () => (view.open
    && [...view.run.stations.encoder, ...view.run.stations.decoder].find(({ name }) => name === view.open))
    || place().station;
  const isOff = (station) => view.run.off.includes({ positions: "positions", sum: "residual",
    norm: "norm" }[station.kind]);
  const sizes = () => {
    const { stations, words } = view.run;
    const attention = stations.decoder.find(({ weights }) => weights)
      ?? stations.encoder.find(({ weights }) => weights);
    const hidden = stations.encoder.find((station) => station.hidden)?.hidden;
    const head = stations.decoder.find(({ kind }) => kind === "head");
    return { C: stations.encoder[0].values.shape[1], H: attention ? attention.weights.shape[1] : 1, F: hidden
      ? hidden.values.shape[1] : "d_ff",
      V: head ? head.values.shape[1] : words.length };
  };
  /** Weights of one row: the chosen head, or the mean of all. */
  function weightsOf(station, row, head = view.head) {
    const { shape: [, heads, keys], data } = station.weights;
    return Array.from({ length: keys }, (_, key) => {
      let sum = 0;
      for (let h = 0; h < heads; h += 1) if (head < 0 || h === head) sum += data[(row * heads + h) * keys + key];
      return head < 0 ? sum / heads : sum;
    });
  }
  const crossStation = () => view.run.stations.decoder.find(({ of, kind, layer }) => of === "cross_attention"
    && kind === "attention" && layer === view.layers.decoder);

  // ------------------------------------------------------------ controls
  const stops = () => [0, E() - 1, ...Array.from({ length: view.run.T }, (_, t) => E() + (t + 1) * D() - 1)];
  const player = makePlayer({ first: 0, last, signal, pause: 900, get: () => view.p,
    move: (p) => {
      if (view.pace === "part") { moveTo(p); return; }
      moveTo(p > view.p ? stops().find((stop) => stop > view.p) : stops().filter((stop) => stop < view.p).at(-1));
    } });
  const pace = makeSwitch("A step is", [["part", "by part"], ["token", "by token"]], "part",
    (value) => { view.pace = value; });
  const field = make("input", { type: "text", spellcheck: "false", autocomplete: "off",
    "aria-label": "English sentence" });
  const register = makeSwitch("Register", [["plain", "plain"], ["polite", "polite"]], "plain",
    (value) => { view.polite = value === "polite"; ask(true); });
  const examples = makeExamples(model.get("examples"), (text) => { field.value = text; ask(true); });
  const switches = SWITCHES.map((name) => {
    const box = make("input", { type: "checkbox", data: { part: name }, on: { change: () => ask(true) } });
    box.checked = true;
    return [box, make("label", { class: "rta-check" }, box, make("span", { text: name }))];
  });
  const machine = make("span", { class: "rta-tf-switches", role: "group", "aria-label": "Parts switched on" },
    make("span", { class: "rta-note", text: "on:" }), ...switches.map(([, label]) => label));
  card.controls.before(machine);
  card.controls.append(pace, player);
  const offNow = () => switches.filter(([box]) => !box.checked).map(([box]) => box.dataset.part);
  foldGrammar(card);
  const asker = makeAsker({
    model, signal, busy: card.busy,
    failed: (message) => {
      card.fail(message);
      if (message) showSettings();
    },
    answered: guarded(card,
      (answer) => { player.stop(); take(answer); if (document.activeElement !== field) field.value = answer.text; }),
  });
  const ask = (now) => { player.stop(); asker.ask({ text: field.value, polite: view.polite, off: offNow() }, now); };
  field.addEventListener("input", () => ask(false));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") ask(true); });
  /** Register and switches as the run on the screen has them. */
  function showSettings() {
    view.polite = view.run.polite;
    register.choose(view.polite ? "polite" : "plain");
    for (const [box] of switches) box.checked = !view.run.off.includes(box.dataset.part);
  }

  // ------------------------------------------------------------ layout
  const strip = make("div", { class: "rta-tf-strip" });
  const next = make("div", { class: "rta-tf-next" });
  const diagram = draw("svg", { class: "rta-tf-diagram", width: DRAWN.width, tabindex: 0, role: "application",
    "aria-label": "The machine’s parts: arrow keys move, Enter opens, Escape follows the sentence again" });
  const panel = make("div", { class: "rta-tf-panel" });
  card.body.append(
    make("div", { class: "rta-tf-ask" }, make("label", { class: "rta-field" }, "English", field), register, examples,
      card.error),
    strip,
    make("div", { class: "rta-tf-main" }, make("div", { class: "rta-tf-machine" }, diagram, next), panel),
  );

  // ------------------------------------------------------------ the sentence
  function paintStrip() {
    const { run } = view;
    const now = place();
    const cross = crossStation();
    const rows = cross ? rowsOf(cross) : 0;
    const lit = now.t >= 0 && rows === now.t + 1 ? weightsOf(cross, firstRow(cross, rows) + now.t) : null;
    const words = run.source.map((token, s) => make("span", { class: `rta-tf-word ${lit ? "rta-tf-lit" : ""}`.trim(),
      style: lit ? `--share: ${lit[s].toFixed(4)}` : null, title: legibleText(token, 200), data: { word: s } },
      make("span", { text: legibleText(token) }),
        make("small", { class: "rta-mono", text: lit ? fixed(lit[s], 2) : "\u00a0" })));
    const done = written();
    const query = now.t;
    const chip = (token, kind, mark = "") => make("span",
      { class: `rta-tf-word ${kind}`.trim(), title: legibleText(token, 200), text: `${mark}${legibleText(token)}` });
    const target = [chip(run.start, `rta-tf-start ${query === 0 ? "rta-tf-query" : ""}`),
      ...run.target.slice(0, done).map((token, t) =>
        chip(token, classes(query === t + 1 && "rta-tf-query", run.differs === t && "rta-tf-differs",
          t === done - 1 && now.station.kind === "softmax" && "rta-tf-new"), run.differs === t ? "✗ " : ""))];
    if (done < run.T) target.push(make("span", { class: "rta-tf-word rta-tf-blank", text: "?" }));
    else if (!run.ended) target.push(make("span", { class: "rta-note", text: "… it never ended: stopped here" }));
    const line = (name, content, kind, second = "") => [make("div", { class: "rta-note rta-tf-name" },
      make("span", { text: name }), make("small", { text: second })),
      make("div", { class: `rta-tf-line ${kind}` }, ...content)];
    const which = lit ? `looks at, layer ${view.layers.decoder + 1}${view.head < 0 ? "" : ` head ${view.head + 1}`}`
      : "";
    strip.replaceChildren(...line("reads", words, "rta-tf-source", which), ...line("writes", target, "rta-tf-target"),
      ...(run.off.length ? line("all on",
        [...run.full.map((token, t) => chip(token, run.differs === t ? "rta-tf-differs" : "")),
        run.differs === null ? make("span", { class: "rta-note", text: " the same" }) : ""], "rta-tf-full") : []));
    strip.classList.toggle("rta-tf-tight", Math.max(run.S, run.T) > 12);
  }

  function paintNext() {
    const { run } = view;
    const now = place();
    const done = written() - 1;
    if (done < 0) {
      next.replaceChildren(make("div", { class: "rta-caption", text: "next token: not known yet" }));
      return;
    }
    const fresh = now.t === done;
    const shown = run.chances.shape[1];
    next.replaceChildren(make("div", { class: "rta-caption" }, "after ",
      make("b", { text: legibleText(run.read[done], 10) }), fresh ? ": top 5" : ": top 5, one step ago"),
      make("div", { class: `rta-bars ${fresh ? "" : "rta-tf-past"}`.trim() },
        ...run.top[done].flatMap((token, rank) => {
        const chance = run.chances.data[done * shown + rank];
        return [make(rank === 0 ? "b" : "span", { text: legibleText(token, 9) }),
          make("div", { class: `rta-bar ${rank === 0 ? "rta-marked" : ""}`.trim(),
            style: `width: ${Math.max(0.5, 100 * chance)}%` }),
          make("span", { class: "rta-mono", text: chance < 0.005 ? "<0.01" : fixed(chance, 2) })];
      })));
  }

  // ------------------------------------------------------------ the diagram
  /** Boxes of one column from the bottom up: [{station | fold, x, y, width, height, kind}], y of the top edge. */
  function columnItems(side) {
    const column = COLUMNS[side];
    const stations = view.run.stations[side];
    const items = [];
    let y = -DRAWN.foot;
    const add = (entry, height, [left, right], gap = DRAWN.gap) => {
      y -= height;
      items.push({ side, x: left, y, width: right - left, height, ...entry });
      y -= gap;
    };
    const pill = [column.stream - 23, column.stream + 23];
    const outer = (kind) => stations.find((station) => station.layer < 0 && station.kind === kind);
    add({ station: outer("words") }, DRAWN.wide, column.wide);
    add({ station: outer("positions") }, 14, [column.stream - 7, column.stream + 7], 5);
    for (let layer = 0; layer < view.run.layers[side]; layer += 1) {
      if (layer !== view.layers[side]) { add({ fold: layer }, DRAWN.fold, column.wide, view.run.layers[side] > 3 ? 2
        : DRAWN.gap); continue; }
      const bottom = y;
      y -= 4;
      const inside = stations.filter((station) => station.layer === layer);
      inside.forEach((station, index) => {
        if (station.kind === "norm") {
          const before = inside[index + 1] && ["attention", "feed_forward"].includes(inside[index + 1].kind)
            && inside[index + 1].of === station.of;
          add({ station, before }, DRAWN.pill, before ? column.boxes : pill, before ? 0 : 6);
        } else if (station.kind === "sum") {
          items.push({ side, station, x: column.stream - 6.5, y: y + 4, width: 13,
            height: 13 });      // beside the box below it
        } else add({ station }, DRAWN.box, column.boxes, 4);
      });
      y -= 13;
      items.push({ side, frame: layer, x: Math.min(column.wide[0], column.boxes[0]) - 4, y,
        width: column.wide[1] - column.wide[0] + (side === "decoder" ? 22 : 8), height: bottom - y });
      y -= DRAWN.gap;
    }
    for (const kind of ["norm", "head", "softmax"]) {
      const station = outer(kind);
      if (station) add({ station }, kind === "norm" ? DRAWN.pill : DRAWN.wide, kind === "norm" ? pill : column.wide);
    }
    return { items, top: y + DRAWN.gap };
  }

  const reached = (station) => rowsOf(station) > 0 && (station.side === "encoder" || rowsOf(station) === place().t + 1);

  function paintDiagram() {
    diagram.replaceChildren();
    const add = (tag, options, ...children) => diagram.appendChild(draw(tag, options, ...children));
    const columns = { encoder: columnItems("encoder"), decoder: columnItems("decoder") };
    view.height = Math.max(DRAWN.least, DRAWN.head - Math.min(columns.encoder.top, columns.decoder.top));
    diagram.setAttribute("height", view.height);
    for (const column of Object.values(columns)) {                  // until now counted from the bottom up
      column.top += view.height;
      for (const item of column.items) item.y += view.height;
    }
    for (const side of ["encoder", "decoder"]) {
      for (const item of columns[side].items) if (item.frame !== undefined) paintFrame(add, item);
    }
    paintMemory(add, columns);
    for (const side of ["encoder", "decoder"]) paintColumn(add, side, columns[side]);
    view.items = [...columns.encoder.items, ...columns.decoder.items].filter(({ frame }) => frame === undefined);
    paintCursor(add);
  }

  function paintFrame(add, item) {
    add("rect", { class: "tf-frame", x: item.x, y: item.y, width: item.width, height: item.height, rx: 8 });
    const encoder = item.side === "encoder";
    add("text", { class: "small dim", x: encoder ? item.x + item.width - 8 : item.x + 8, y: item.y + 14,
      "text-anchor": encoder ? "end" : "start",
      text: `layer ${item.frame + 1} of ${view.run.layers[item.side]}` });
  }

  /** The encoder's output: keys and values for the cross-attention of every decoder layer. */
  function paintMemory(add, { encoder, decoder }) {
    const now = place();
    const start = [COLUMNS.encoder.stream, encoder.top - 4];
    const targets = decoder.items.filter(({ station, fold }) => (station ? station.kind === "attention"
      && station.of === "cross_attention" : fold !== undefined));
    const ready = now.side === "decoder";
    for (const item of targets) {
      const y = item.y + item.height / 2;
      const lit = item.station && now.station.name === item.station.name;
      [["tf-key", -2.5], ["tf-value", 2.5]].forEach(([kind, shift]) => {
        const line = `tf-memory ${kind} ${lit ? "tf-lit" : ready ? "" : "tf-later"}`;
        const turn = start[1] + shift * (y < start[1] ? 1 : -1);
        add("path", { class: line,
          d: `M${start[0]},${turn}H${GUTTER + shift}V${y + shift * (y < start[1] ? 1 : -1)}H${item.x - 7}` });
      });
      add("polygon", { class: `tf-memory-tip ${lit ? "tf-lit" : ready ? "" : "tf-later"}`,
        points: `${item.x - 1},${y} ${item.x - 8},${y - 5} ${item.x - 8},${y + 5}` });
    }
    add("text", { class: `small ${ready ? "" : "dim"}`, x: start[0] + 14, y: start[1] - 9 },
      draw("tspan", { text: "encoder’s output: " }), draw("tspan", { class: "tf-key", text: "K" }),
        draw("tspan", { text: ", " }), draw("tspan", { class: "tf-value", text: "V" }));
  }

  function paintColumn(add, side, { items, top }) {
    const column = COLUMNS[side];
    const bars = [];
    const onStream = items.filter(({ frame, station }) => frame === undefined
      && (!station || !["attention", "feed_forward"].includes(station.kind)));
    // the stream: a line from each of its stations to the next, bright as far as the sentence has come
    let below = onStream[0].y;
    for (const item of onStream.slice(1)) {
      if (item.before) continue;
      const cut = item.station?.kind === "sum" && isOff(item.station);
      const passed = item.station ? reached(item.station) : reachedLayer(side, item.fold);
      const box = items.find(({ station }) => cut && station && station.of === item.station.of
        && ["attention", "feed_forward"].includes(station.kind));
      const branch = box ? box.y + box.height - 6 : 0;
      if (cut && branch < below) add("line", { class: `tf-stream ${passed ? "tf-passed" : ""}`, x1: column.stream,
        y1: below, x2: column.stream, y2: branch });
      add("line", { class: `tf-stream ${passed ? "tf-passed" : ""} ${cut ? "tf-cut" : ""}`, x1: column.stream, y1: cut
        ? Math.min(branch, below) : below, x2: column.stream, y2: item.y + item.height });
      below = item.y;
    }
    if (side === "encoder") add("line", { class: `tf-stream ${place().side === "decoder" ? "tf-passed" : ""}`,
      x1: column.stream, y1: below, x2: column.stream, y2: top - 4 });
    for (const item of items) {
      if (item.frame !== undefined) continue;
      if (item.fold !== undefined) { paintFold(add, item); continue; }
      paintStation(add, item, items, column);
      if (["positions", "sum", "norm"].includes(item.station.kind) && !item.before) bars.push(item);
    }
    for (const item of bars) paintNorm(add, item, column);
    const { run } = view;
    const now = place();
    const input = side === "encoder" ? `reads ${run.S} tokens` : now.t < 0 ? "waits"
      : `reads ${legibleText(run.read[now.t], 10)}`;
    const middle = (column.wide[0] + column.wide[1]) / 2;
    const foot = (column.boxes[0] + column.boxes[1]) / 2;
    add("text", { class: "small", x: foot, y: view.height - 4, "text-anchor": "middle" },
      draw("tspan", { class: "strong", text: side }), draw("tspan", { text: ` ${input}` }));
    add("text", { class: "small dim", x: side === "encoder" ? 0 : DRAWN.width, y: view.height - 4,
      "text-anchor": side === "encoder" ? "start" : "end", text: side === "encoder" ? "mean ‖x‖" : "‖x‖" });
    if (side === "decoder" && now.station.kind === "softmax") {
      const box = items.find(({ station }) => station?.kind === "softmax");
      add("text", { class: "small strong", x: middle, y: box.y - 5, "text-anchor": "middle",
        text: `writes ${legibleText(run.target[now.t], 14)}` });
    }
  }

  const reachedLayer = (side, layer) => {
    const stations = view.run.stations[side].filter((station) => station.layer === layer);
    return reached(stations.at(-1));
  };

  const stateOf = (station) => {
    if (place().station.name === station.name) return "tf-now";
    return reached(station) ? "tf-passed" : "";
  };

  function paintFold(add, item) {
    const group = add("g", { class: "tf-part", data: { fold: `${item.side}${item.fold}` } });
    group.append(draw("rect", { class: `tf-box tf-fold ${reachedLayer(item.side, item.fold) ? "tf-passed" : ""}`,
      x: item.x, y: item.y, width: item.width, height: item.height, rx: 5 }),
      draw("text", { class: "small dim", x: item.x + item.width / 2, y: item.y + 13.5, "text-anchor": "middle",
        text: `layer ${item.fold + 1} · show` }));
    group.addEventListener("click", () => openItem(item));
  }

  function paintStation(add, item, items, column) {
    const { station, x, y, width, height } = item;
    const state = stateOf(station);
    const off = isOff(station);
    const group = add("g", { class: `tf-part ${view.open === station.name ? "tf-open" : ""}`,
      data: { part: station.name } });
    group.addEventListener("click", () => openItem(item));
    const put = (tag, options, ...children) => group.appendChild(draw(tag, options, ...children));
    const middle = [x + width / 2, y + height / 2];
    if (station.kind === "sum" || station.kind === "positions") {
      put("circle", { class: `tf-plus ${state} ${off ? "tf-off" : ""}`, cx: middle[0], cy: middle[1], r: 6.5 });
      if (!off) put("path",
        { class: `tf-sign ${state}`, d: `M${middle[0] - 3.5},${middle[1]}h7M${middle[0]},${middle[1] - 3.5}v7` });
      if (station.kind === "positions") {
        const inward = -column.outward;
        put("text", { class: `small ${off ? "dim tf-struck" : ""}`, x: middle[0] + inward * 20, y: middle[1] + 4.5,
          "text-anchor": inward > 0 ? "start" : "end", text: off ? "positions: off" : "positions" });
      }
      return;
    }
    put("rect", { class: `tf-box tf-${station.kind} ${state} ${off ? "tf-off" : ""}`, x, y, width, height,
      rx: station.kind === "norm" ? 7 : 5 });
    const unmasked = station.of === "self_attention" && station.kind === "attention" && view.run.off.includes("mask");
    const label = put("text",
      { class: classes("small", state === "tf-now" && width > 8 * nameOf(station).length && "strong",
        off && "dim tf-struck"), x: middle[0], y: middle[1] + 4.5, "text-anchor": "middle" });
    if (unmasked) label.append(draw("tspan", { class: "dim tf-struck", text: "masked" }),
      draw("tspan", { text: " self-attention" }));
    else label.append(draw("tspan", { text: station.kind === "norm" ? "norm" : nameOf(station) }));
    if (["attention", "feed_forward"].includes(station.kind)) paintBranch(put, item, items, column, state);
  }

  /** The way off the stream into a sublayer, and back to the sum. */
  function paintBranch(put, item, items, column, state) {
    const side = item.x < column.stream ? item.x + item.width : item.x;
    const out = [side, item.y + 6];
    const norm = items.find(({ before, station }) => before && station.of === item.station.of
      && station.layer === item.station.layer);
    const inlet = norm ? norm.y + norm.height / 2 : item.y + item.height - 6;
    const toward = side > column.stream ? 1 : -1;
    const kind = state || "";
    const tail = column.stream + toward * 13;
    put("line", { class: `tf-branch ${kind}`, x1: column.stream, y1: inlet, x2: side - toward * 5, y2: inlet });
    put("polygon", { class: `tf-branch-tip ${kind}`,
      points: `${side},${inlet} ${side - toward * 6},${inlet - 3.5} ${side - toward * 6},${inlet + 3.5}` });
    put("line", { class: `tf-branch ${kind}`, x1: out[0], y1: out[1], x2: column.stream + toward * 12, y2: out[1] });
    put("polygon", { class: `tf-branch-tip ${kind}`,
      points: `${column.stream + toward * 7},${out[1]} ${tail},${out[1] - 3.5} ${tail},${out[1] + 3.5}` });
  }

  /** ‖x‖ on the stream: a bar for the newest token (in the encoder the mean), a line from the least to the most. */
  function paintNorm(add, item, column) {
    const { station } = item;
    if (!reached(station)) return;
    const rows = rowsOf(station);
    const first = firstRow(station, rows);
    const norms = Array.from({ length: rows }, (_, row) => normOf(station.values, first + row));
    const value = station.side === "encoder" ? norms.reduce((a, b) => a + b, 0) / rows : norms.at(-1);
    const y = item.y + item.height / 2;
    const start = column.bars + (column.outward > 0 ? 2 : -2);
    const scale = 28 / view.run.longest;
    const at = (norm) => start + column.outward * norm * scale;
    add("rect", { class: `tf-norm-bar ${stateOf(station)}`, x: Math.min(start, at(value)), y: y - 3,
      width: Math.abs(at(value) - start), height: 6, rx: 1.5 });
    add("line", { class: "tf-norm-range", x1: at(Math.min(...norms)), x2: at(Math.max(...norms)), y1: y, y2: y });
    add("text", { class: "small tf-number", x: start + column.outward * 58, y: y + 4.5,
      "text-anchor": column.outward > 0 ? "end" : "start", text: fixed(value, 1) });
  }

  function paintCursor(add) {
    const item = view.items.find((entry) => keyOf(entry) === view.cursor)
      ?? view.items.find(({ station }) => station?.name === shownStation().name) ?? view.items[0];
    view.cursor = keyOf(item);
    add("rect", { class: "tf-cursor", x: item.x - 3, y: item.y - 3, width: item.width + 6, height: item.height + 6,
      rx: 7 });
  }
  const keyOf = ({ station, side, fold }) => (station ? station.name : `${side}${fold}`);

  function openItem(item) {
    player.stop();
    view.cursor = keyOf(item);
    if (item.fold === undefined) { view.open = item.station.name; paint(); return; }
    view.layers[item.side] = item.fold;
    view.cursor = view.run.stations[item.side].find(({ layer }) => layer === item.fold).name;
    paint();
    sayItem(view.items.find((entry) => keyOf(entry) === view.cursor));
  }

  diagram.addEventListener("keydown", (event) => {
    if (meantForOthers(diagram, event)) return;
    const list = view.items;
    const index = list.findIndex((item) => keyOf(item) === view.cursor);
    const item = list[index];
    const column = list.filter(({ side }) => side === item.side);
    const inColumn = column.indexOf(item);
    const across = (side) => list.filter((entry) => entry.side === side).reduce((best, entry) => (!best
      || Math.abs(entry.y - item.y) < Math.abs(best.y - item.y) ? entry : best), null);
    const targets = { ArrowUp: column[inColumn + 1], ArrowDown: column[inColumn - 1],
      ArrowRight: item.side === "encoder" ? across("decoder") : null,
      ArrowLeft: item.side === "decoder" ? across("encoder") : null, Home: list[0], End: list.at(-1) };
    if (event.key === "Enter" || event.key === " ") openItem(item);
    else if (event.key === "Escape" && view.open) follow();
    else if (event.key in targets) moveCursor(targets[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function moveCursor(item) {
    if (!item) return;
    view.cursor = keyOf(item);
    paintDiagram();
    sayItem(item);
  }

  function sayItem({ station, side, fold }) {
    if (!station) { card.say(make("b", { text: `${side}, layer ${fold + 1}` }),
      make("span", { class: "rta-note", text: " folded · Enter opens it" })); return; }
    const rows = rowsOf(station);
    card.say(make("b", { text: nameOf(station) }), ` · ${placeOf(station)} · `, rows ? shapeText(station.values, rows)
      : "not reached yet", make("span", { class: "rta-note", text: " · Enter opens it" }));
  }
  const shapeText = ({ shape }, rows) => `(1, ${rows}, ${shape[1]})`;

  // ------------------------------------------------------------ the opened part
  const title = make("div", { class: "rta-tf-title" });
  const formula = make("div", { class: "rta-tf-formula" });
  const symbols = make("div", { class: "rta-note rta-tf-symbols" });
  const choices = make("div", { class: "rta-tf-choices" });
  const below = make("div", { class: "rta-ramp rta-tf-key" });
  panel.append(title, formula, symbols, choices);
  const stage = makeStage(panel, { height: TENSOR.height, label: "The numbers of the opened part", signal,
    paint: guarded(card, (width) => paintTensor(width)) });
  panel.append(below);
  const theme = followTheme(card.root, () => stage.redraw(), signal);
  const follow = () => { view.open = null; view.cursor = null; paint(); };

  /** What can be seen of a part: its vectors, its weights, its hidden layer. */
  function formsOf(station) {
    if (station.weights) return [["weights", "weights"], ["values", "output"]];
    if (["head", "softmax"].includes(station.kind)) return [["likely", "likeliest"],
      ["values", `all ${station.values.shape[1]}`]];
    if (station.hidden) return [["values", "output"], ["hidden", "hidden layer"]];
    return [["values", "output"]];
  }
  const formOf = (station) => view.form[station.kind] ?? formsOf(station)[0][0];

  function paintPanel() {
    const station = shownStation();
    const rows = rowsOf(station);
    const unmasked = station.of === "self_attention" && view.run.off.includes("mask") && station.kind === "attention";
    title.replaceChildren(make("b", {}, ...(unmasked ? [make("s", { text: "masked" }), " self-attention"]
      : [nameOf(station)])), " ",
      make("span", { class: "rta-note", text: `${placeOf(station)}${isOff(station) ? " · off" : ""}` }),
      ...(view.open ? [" ", make("button", { type: "button", class: "rta-button rta-tf-follow", text: "Close",
        "aria-label": "Close this part and follow the sentence", on: { click: follow } })] : []));
    const [shown, told] = formulaOf(station, sizes(), view.run.off);
    formula.replaceChildren(make("span", {}, ...shown), make("span", { class: "rta-tf-shape" }));
    symbols.textContent = told;
    const form = formOf(station);
    const forms = formsOf(station);
    const size = sizes();
    const rowLetter = station.side === "encoder" ? "S" : "T";
    const tokens = [rowLetter, rows || ""];
    const shape = form === "weights" ? [["H", size.H], tokens, station.of === "cross_attention"
      || station.side === "encoder" ? ["S", view.run.S] : tokens]
      : [tokens, form === "hidden" ? ["d_ff", size.F] : [["head", "softmax"].includes(station.kind) ? "V" : "d_model",
        station.values.shape[1]]];
    choices.replaceChildren(
      ...(forms.length > 1
        ? [makeSwitch("What is shown", forms, form,
        (value) => { view.form[station.kind] = value; view.cell = [0, 0]; paint(); })] : []),
      ...(station.weights && form === "weights"
        ? [makeSwitch("Head",
        [["-1", "mean"], ...Array.from({ length: size.H }, (_, h) => [String(h), String(h + 1)])], String(view.head),
        (value) => { view.head = Number(value); paint(); })] : []));
    formula.lastChild.textContent = `(${[["B", 1], ...shape].map((axis) => axis.join(" ").trim()).join(", ")})`;
  }

  const keysOf = (station, rows) => (station.of === "cross_attention" || station.side === "encoder" ? view.run.S
    : rows);
  const rowTokens = (station) => (station.side === "encoder" ? view.run.source : view.run.read);
  const keyTokens = (station) => (station.of === "cross_attention" || station.side === "encoder" ? view.run.source
    : view.run.read);

  /** The numbers on the screen: {rows, columns, value(row, column), weights}. null if there are none yet. */
  function tensorOf(station) {
    const rows = rowsOf(station);
    const form = formOf(station);
    if (rows === 0) return null;
    if (form === "weights") {
      const columns = keysOf(station, rows);
      const first = firstRow(station, rows);
      const lines = Array.from({ length: rows }, (_, row) => weightsOf(station, first + row).slice(0, columns));
      return { rows, columns, weights: true, value: (row, column) => lines[row][column] };
    }
    const part = form === "hidden" ? station.hidden : station;
    if (form === "likely") return likeliest(station, rows);
    if (form === "hidden" && view.run.anew && part.values.shape[0] === view.run.T && rows < view.run.T
      && station.side === "decoder") return null;
    const { shape, data } = part.values;
    const first = firstRow(part.values === station.values ? station : { ...station, values: part.values }, rows);
    if (station.kind === "softmax") {
      const lines = Array.from({ length: rows },
        (_, row) => softmaxOf(data.subarray((first + row) * shape[1], (first + row + 1) * shape[1])));
      return { rows, columns: shape[1], weights: true, value: (row, column) => lines[row][column] };
    }
    return { rows, columns: shape[1], weights: false, first, values: part.values,
      value: (row, column) => data[(first + row) * shape[1] + column] };
  }
  /** Of every row of the head the words with the largest scores, as many as there is room for. */
  function likeliest(station, rows) {
    const { shape: [, width], data } = station.values;
    const first = firstRow(station, rows);
    const columns = Math.min(width,
      Math.max(2, Math.floor((stage.svg.clientWidth - TENSOR.label - TENSOR.mark) / TENSOR.likely)));
    const lines = Array.from({ length: rows }, (_, row) => {
      const scores = data.subarray((first + row) * width, (first + row + 1) * width);
      const values = station.kind === "softmax" ? softmaxOf(scores) : scores;
      const order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b).slice(0, columns);
      return order.map((id) => ({ id, value: values[id] }));
    });
    return { rows, columns, weights: station.kind === "softmax", lines,
      value: (row, column) => lines[row][column].value };
  }
  function softmaxOf(logits) {
    const top = Math.max(...logits);
    const powers = Array.from(logits, (logit) => Math.exp(logit - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }

  /** Whether a decoder's row is what it was one step before. */
  function changedRow(station, rows, row) {
    const before = (rows - 1) * (rows - 2) / 2;
    const { shape: [, width], data } = station.values;
    const first = firstRow(station, rows);
    if (first === 0) return false;
    const moved = (c) => Math.abs(data[(first + row) * width + c] - data[(before + row) * width + c]) > 1e-5;
    return Array.from({ length: width }, (_, c) => moved(c)).some(Boolean);
  }

  function paintTensor(width) {
    const context = stage.clear(width);
    const station = shownStation();
    const tensor = tensorOf(station);
    view.grid = null;
    if (!tensor) {
      const [one, two] = rowsOf(station) ? ["With the mask off the hidden layer is kept",
        "for the last step only: step to the end."]
        : ["The sentence has not come here yet.", station.side === "decoder" && place().side === "encoder"
          ? "The decoder starts when the encoder is done." : "Step on, or play."];
      stage.add("text", { class: "dim", x: 8, y: 40, text: one });
      stage.add("text", { class: "dim", x: 8, y: 62, text: two });
      below.replaceChildren();
      return;
    }
    const matrix = formOf(station) === "weights";
    const top = matrix ? 54 : 18;
    const right = matrix ? TENSOR.slant : tensor.lines || tensor.weights ? 0 : TENSOR.norm;
    const room = [width - TENSOR.label - TENSOR.mark - right - 4, TENSOR.height - top];
    const high = Math.min(TENSOR.row, Math.floor(room[1] / tensor.rows));
    const wide = matrix ? Math.min(34, room[0] / tensor.columns) : room[0] / tensor.columns;
    const box = { x: TENSOR.label + TENSOR.mark, y: top, width: wide * tensor.columns, height: high * tensor.rows,
      high, wide };
    const most = tensor.weights ? 1
      : Math.max(1e-9, ...Array.from({ length: tensor.rows },
      (_, row) => Math.max(...Array.from({ length: tensor.columns },
      (__, column) => Math.abs(tensor.value(row, column))))));
    const colours = theme();
    const colour = tensor.weights ? colours.weight : (value) => colours.signed(value / most);
    paintCells(context, cellPicture({ rows: tensor.rows, columns: tensor.columns, value: tensor.value, colour }),
      colours.mask, box.x, box.y, box.width, box.height);
    view.grid = { ...box, tensor, station };
    view.cell = [within(view.cell[0], 0, tensor.rows - 1), within(view.cell[1], 0, tensor.columns - 1)];
    paintRowNames(station, tensor, box, matrix);
    if (matrix) paintKeyNames(station, tensor, box);
    else if (tensor.lines) paintLikely(tensor, box, colour);
    else if (!tensor.weights) paintRowNorms(tensor, box, width);
    paintCell(box);
    paintKey(tensor, most, matrix, station);
  }

  function paintRowNames(station, tensor, box, matrix) {
    const names = rowTokens(station);
    const every = Math.ceil(13 / box.high);
    const now = place();
    for (let row = 0; row < tensor.rows; row += 1) {
      const current = station.side === "decoder" && row === now.t;
      const y = box.y + (row + 0.5) * box.high + 4.5;
      const crowded = station.side === "decoder" && row < now.t && row > now.t - every;      // the newest is named
      if ((row % every === 0 && !crowded) || current) {
        stage.add("text", { class: `small ${current ? "strong" : ""} ${matrix ? "rta-queries" : ""}`,
          x: TENSOR.label - 2, y, "text-anchor": "end", text: legibleText(names[row], 8) });
      }
      if (station.side === "decoder" && tensor.rows > 1 && row < tensor.rows - 1
        && row % every === 0) {
        stage.add("text", { class: "small dim", x: TENSOR.label + 7, y, "text-anchor": "middle",
          text: changedRow(station, tensor.rows, row) ? "≠" : "=" });
      }
    }
  }

  function paintKeyNames(station, tensor, box) {
    const names = keyTokens(station);
    const every = Math.ceil(13 / box.wide);
    for (let column = 0; column < tensor.columns; column += every) {
      const x = box.x + (column + 0.5) * box.wide + 3;
      stage.add("text", { class: "small rta-keys", x, y: box.y - 5, transform: `rotate(-50 ${x} ${box.y - 5})`,
        text: legibleText(names[column], 7) });
    }
  }

  function paintRowNorms(tensor, box, width) {
    const start = box.x + box.width + 8;
    const norms = Array.from({ length: tensor.rows }, (_, row) => normOf(tensor.values, tensor.first + row));
    const most = Math.max(...norms, 1e-9);
    stage.add("text", { class: "small dim", x: width, y: 12, "text-anchor": "end", text: "‖x‖" });
    norms.forEach((norm, row) => {
      const y = box.y + (row + 0.5) * box.high;
      stage.add("rect", { class: "tf-norm-bar", x: start, y: y - Math.min(3, box.high / 2 - 1),
        width: (28 * norm) / most, height: Math.min(6, box.high - 2), rx: 1.5 });
      if (box.high >= 12 || row % Math.ceil(13 / box.high) === 0) stage.add("text",
        { class: "small tf-number", x: width, y: y + 4.5, "text-anchor": "end", text: fixed(norm, 1) });
    });
  }

  function paintLikely(tensor, box, colour) {
    const name = (id) => legibleText(view.run.words[id] ?? String(id), 4);
    tensor.lines.forEach((line, row) => line.forEach(({ id, value }, column) => {
      if (box.high < 13 && row % Math.ceil(13 / box.high)) return;
      stage.add("text", { class: "small", style: `fill: ${textOn(colour(value))}`, x: box.x + column * box.wide + 6,
        y: box.y + (row + 0.5) * box.high + 4.5,
        text: `${name(id)} ${fixed(value, tensor.weights ? 2 : 1)}` });
    }));
  }

  function paintCell(box) {
    const [row, column] = view.cell;
    stage.add("rect", { class: "tf-cell", x: box.x + column * box.wide - 1, y: box.y + row * box.high - 1,
      width: Math.max(4, box.wide) + 2, height: box.high + 2, rx: 2 });
  }

  function paintKey(tensor, most, matrix, station) {
    const strip = make("canvas", { width: 64, height: 10 });
    const context = strip.getContext("2d");
    const colours = theme();
    for (let x = 0; x < 64; x += 1) {
      context.fillStyle = css(tensor.weights ? colours.weight(x / 63) : colours.signed((2 * x) / 63 - 1));
      context.fillRect(x, 0, 1, 10);
    }
    const hidden = matrix
      && Array.from({ length: tensor.rows }, (_, row) => tensor.value(row, tensor.columns - 1)).some(Number.isNaN);
    const masked = make("canvas", { width: 16, height: 12 });
    if (hidden) hatch(masked.getContext("2d"), colours.mask, 0, 0, 16, 12);
    const marks = station.side === "decoder" && tensor.rows > 1;
    below.replaceChildren(make("span", { class: "rta-mono", text: tensor.weights ? "0" : fixed(-most, 2) }), strip,
      make("span", { class: "rta-mono", text: tensor.weights ? "1" : fixed(most, 2) }),
      ...(hidden ? [make("span", { class: "rta-masked-key" }, masked, "masked")] : []),
      ...(marks ? [make("span", { class: "rta-tf-marks", text: view.run.anew ? "≠ row changed by the new token"
        : "= row as one step before" })] : []));
  }

  function sayCell() {
    if (!view.grid) return;
    const { tensor, station } = view.grid;
    const [row, column] = view.cell;
    const value = tensor.value(row, column);
    const name = make("b", { text: legibleText(rowTokens(station)[row], 24) });
    const number = make("span", { class: "rta-mono", text: Number.isNaN(value) ? "masked" : tensor.weights
      ? fixed(value, 3) : fixed(value, 3) });
    if (formOf(station) === "weights") {
      card.say("query ", name, " → key ", make("b", { text: legibleText(keyTokens(station)[column], 24) }),
        view.head < 0 ? ", mean of the heads: " : `, head ${view.head + 1}: `, number);
      return;
    }
    const id = tensor.lines ? tensor.lines[row][column].id : column;
    const words = ["head", "softmax"].includes(station.kind);
    card.say("after ".repeat(words), name, words ? ` comes ${legibleText(view.run.words[id] ?? String(id), 24)}: `
      : ` · feature ${column + 1} of ${tensor.columns}: `, number,
      ...(words ? [make("span", { class: "rta-note", text: tensor.weights ? " probability" : " logit" })]
        : [make("span", { class: "rta-note",
        text: ` · this token’s ‖x‖ = ${fixed(normOf(tensor.values, tensor.first + row), 3)}` })]));
  }
  roving(stage.stage, { size: () => (view.grid ? [view.grid.tensor.rows, view.grid.tensor.columns] : [1, 1]),
    get: () => view.cell,
    move: (row, column) => { view.cell = [row, column]; stage.redraw(); sayCell(); } });
  stage.stage.addEventListener("pointermove", (event) => {
    if (!view.grid) return;
    const frame = stage.stage.getBoundingClientRect();
    const row = Math.floor((event.clientY - frame.top - view.grid.y) / view.grid.high);
    const column = Math.floor((event.clientX - frame.left - view.grid.x) / view.grid.wide);
    if (row < 0 || column < 0 || row >= view.grid.tensor.rows || column >= view.grid.tensor.columns) return;
    if (row === view.cell[0] && column === view.cell[1]) return;
    view.cell = [row, column];
    stage.redraw();
    sayCell();
  });

  // ------------------------------------------------------------ one line on what happens now
  function say() {
    const { run } = view;
    const { side, t, station } = place();
    const token = t >= 0 ? legibleText(run.read[t], 16) : "";
    const count = t >= 0 ? ` · token ${t + 1} of ${run.T}` : "";
    card.say(make("b", { text: nameOf(station) }),
      make("span", { class: "rta-note", text: ` · ${placeOf(station)}${count} · ` }), ...told(station, t, token));
  }
  function told(station, t, token) {
    const { run } = view;
    const best = (tokens) => {
      const line = weightsOf(station, firstRow(station, t + 1) + t).slice(0, tokens.length);
      const most = line.reduce((top, value, index) => (value > line[top] || Number.isNaN(line[top]) ? index : top), 0);
      return [make("b", { text: legibleText(tokens[most], 16) }), ` (${fixed(line[most], 2)})`];
    };
    if (isOff(station)) return [station.kind === "sum" ? "the residual is off: only what the sublayer says goes on."
      : "switched off: the vectors pass unchanged."];
    switch (station.kind) {
      case "words": return [t < 0 ? "each word becomes a vector."
        : [make("b", { text: token }), " becomes a vector."]].flat();
      case "positions": return ["the place in the sentence is added to the vector."];
      case "attention":
        if (t < 0) return ["each word looks at all words, and takes a mean of their values."];
        if (station.of === "cross_attention") return [make("b", { text: token }), " looks at the source, most at ",
          ...best(run.source), "."];
        return [make("b", { text: token }), run.off.includes("mask") ? " looks at all tokens so far, most at "
          : " looks back, most at ", ...best(run.read.slice(0, t + 1)), "."];
      case "sum": return ["what the sublayer says is added to the stream that runs round it."];
      case "norm": return ["each token’s numbers are brought to one size."];
      case "feed_forward": return ["each token alone: wider, ReLU, back again."];
      case "head": return ["a score for every word of the vocabulary."];
      default: return [make("b", { text: legibleText(run.target[t], 16) }),
        ` has probability ${fixed(run.chances.data[t * run.chances.shape[1]], 3)}: it is written`,
        t + 1 < run.T ? ", and read next." : "."];
    }
  }

  // ------------------------------------------------------------ moving
  const paint = guarded(card, () => {
    paintStrip();
    paintNext();
    paintDiagram();
    paintPanel();
    stage.redraw();
    say();
    card.root.dataset.position = view.p;
  });

  function moveTo(p) {
    view.p = within(p, 0, last());
    const { side, station, t } = place();
    if (station.layer >= 0) view.layers[side] = station.layer;
    if (!view.open) view.cursor = null;
    view.cell = [side === "decoder" ? t : Math.min(view.cell[0], view.run.S - 1), view.cell[1]];
    paint();
  }

  /** The station of a part, once so many tokens are written. */
  function startAt(token, part) {
    const { stations, T } = view.run;
    const found = [...stations.encoder, ...stations.decoder].find(({ name }) => name === part);
    if (token > 0) return E() + Math.min(token, T) * D() - 1;
    if (!found) return 0;
    return found.side === "encoder" ? found.index : E() + found.index;
  }

  /** Another sentence starts anew; the same one, with other parts on, stays at its token where it can. */
  function take(answer, first = false) {
    const same = view.run && view.run.text === answer.text;
    const token = same ? written() : 0;
    const whole = same && view.p >= last();
    view.run = readRun(answer);
    for (const side of ["encoder", "decoder"]) view.layers[side] = Math.min(view.layers[side],
      view.run.layers[side] - 1);
    if (view.head >= sizes().H) view.head = -1;
    showSettings();
    if (first) start();
    else moveTo(whole ? last() : startAt(token, ""));
  }

  function start() {
    const part = model.get("part");
    const found = [...view.run.stations.encoder, ...view.run.stations.decoder].find(({ name }) => name === part);
    view.p = startAt(model.get("token"), part);
    if (model.get("token") > 0) view.layers = { encoder: view.run.layers.encoder - 1,
      decoder: view.run.layers.decoder - 1 };
    if (found && found.layer >= 0) view.layers[found.side] = found.layer;
    view.open = found && place().station.name !== part ? part : null;
    const layers = { ...view.layers };
    moveTo(view.p);
    if (found && found.layer >= 0) { view.layers = { ...view.layers, [found.side]: layers[found.side] }; paint(); }
  }
  model.on("change:token", guarded(card, start));
  model.on("change:part", guarded(card, start));

  card.root.numbers = () => {
    const { side, t, station } = place();
    const shown = shownStation();
    const tensor = tensorOf(shown);
    return { text: view.run.text, polite: view.run.polite, off: view.run.off, position: view.p, side, token: t,
      station: station.name, part: shown.name,
      form: formOf(shown), head: view.head, written: view.run.target.slice(0, written()), full: view.run.full,
        differs: view.run.differs,
      values: tensor && Array.from({ length: tensor.rows }, (_, row) => Array.from({ length: tensor.columns },
        (__, column) => tensor.value(row, column))) };
  };
  guarded(card, () => take(model.get("answer"), true))();
  field.value = model.get("answer").text;
}

export default { render };
