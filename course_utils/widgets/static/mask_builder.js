// MaskBuilder: the reader paints who may attend to whom, or combines two ready masks, and sees what softmax makes of it.
// Masks, weights and code are the same as in mask_builder.py; tests hold them equal.

const OWN = "own";
const NONE = "none";

// Each takes a query and a key, counted from 0, and the settings {real, window, globals, randomKeys}; true = may attend.
// Python has the same.
const PRESETS = {
  all: () => true,
  causal: (query, key) => key <= query,
  padding: (query, key, { real }) => key < real,
  window: (query, key, { window: reach }) => Math.abs(query - key) <= reach,
  cross: (query, key, { real }) => key < real,
  bigbird: (query, key, settings) => bigbirdFixed(query, key, settings) || settings.randomKeys[query].includes(key),
};
const LABELS = { all: "all", causal: "causal", padding: "padding", window: "window", cross: "cross: real keys", bigbird: "BigBird", own: "own drawing" };
const PADDED = ["padding", "cross"];
const FORBIDS = { causal: "of the future", padding: "of padding", cross: "of padding", window: "outside the window", bigbird: "outside of BigBird's pattern" };
const MOST_TOKENS = 24;                      // as in Python: part of how random keys are drawn
const DRAWS = 1000;
const LONG = 4096;                           // tokens: a text for which BigBird was made

// Pixels.
const LARGEST_CELL = 42;
const SMALLEST_CELL = 15;
const EDITOR = 252;                          // the side of the large grid, as long as its cells have the sizes above
const SMALL = 84;                            // the largest side of the two small masks
const CHAIN = 110;                           // the height of scores and weights where the large grid is not higher
const LINE = 21;                             // a row of numbers
const LOUD = 0.3;                            // smaller weights get no number in the small matrices
const CODE_LINE = 60;                        // characters of code that fit beside the numbers
const [NAMES_WIDTH, SUM_WIDTH] = [122, 52];  // beside the row of numbers

// ---------------------------------------------------------------- masks and weights

/** A mask as 0 and 1, row by row. cell(query, key) -> boolean. */
function maskOf({ rows, columns }, cell) {
  return Uint8Array.from({ length: rows * columns }, (_, place) => Number(cell(Math.floor(place / columns), place % columns)));
}

/** BigBird without its random keys: neighbours on both sides; global tokens see all and are seen by all. */
function bigbirdFixed(query, key, { window: reach, globals }) {
  return Math.abs(query - key) <= reach || query < globals || key < globals;
}

/** A whole number below 2³² stirred into another, one to one: shifts and products modulo 2³², as in MurmurHash3. */
function mixed(number) {
  const stirred = [0x85ebca6b, 0xc2b2ae35].reduce((mix, factor) => Math.imul(mix ^ (mix >>> 16), factor), number);
  return (stirred ^ (stirred >>> 16)) >>> 0;
}

/**
 * BigBird's random keys: for each query those that come first among the keys not allowed yet. The order of the keys is
 * that of stirred numbers, which Python computes too: both draw the same, with a kernel and without.
 */
function drawKeys(length, settings) {
  const places = Array.from({ length }, (_, place) => place);
  return places.map((query) => {
    const stirred = places.map((key) => mixed((settings.draw * MOST_TOKENS + query) * MOST_TOKENS + key));
    const free = places.filter((key) => !bigbirdFixed(query, key, settings)).sort((one, other) => stirred[one] - stirred[other]);
    return free.slice(0, settings.randoms).sort((one, other) => one - other);
  });
}

/** How many of the T² pairs BigBird allows, counted query by query. */
function bigbirdCells(length, { window: reach, globals, randoms }) {
  let cells = Math.min(globals, length) * length;
  for (let query = globals; query < length; query += 1) {
    const first = Math.max(query - reach, 0);
    const allowed = Math.min(query + reach, length - 1) - first + 1 + Math.min(first, globals);
    cells += Math.min(allowed + randoms, length);
  }
  return cells;
}

/** "and" allows what both masks allow, "or" what one of them allows; a second mask may be missing. */
function combined(first, second, how) {
  if (!second) return first;
  return first.map((allowed, place) => (how === "and" ? allowed & second[place] : allowed | second[place]));
}

/** Softmax of every row; a row of −∞ gives zeros, not the NaN of 0/0. */
function softmaxRows(scores, columns) {
  const weights = new Float64Array(scores.length);
  for (let start = 0; start < scores.length; start += columns) {
    const row = scores.subarray(start, start + columns);
    const largest = row.reduce((most, score) => Math.max(most, score), -Infinity);
    if (largest === -Infinity) continue;
    const powers = row.map((score) => Math.exp(score - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    weights.set(powers.map((power) => power / sum), start);
  }
  return weights;
}

function emptyRows(mask, { rows, columns }) {
  return Array.from({ length: rows }, (_, row) => row)
    .filter((row) => !mask.subarray(row * columns, (row + 1) * columns).includes(1));
}

// ---------------------------------------------------------------- the mask as code

const ones = ({ rows, columns }) => `torch.ones(${rows}, ${columns}, dtype=torch.bool)`;
const paddingCode = ({ columns }, { lengths }) => `padding_mask([${lengths.join(", ")}], ${columns})`;
function bigbirdCode({ rows }, { window: reach, globals, randomKeys }) {
  const keys = randomKeys.some((row) => row.length) ? `, random_keys=[${randomKeys.map((row) => `[${row.join(", ")}]`).join(", ")}]` : "";
  return `bigbird_mask(${rows}, window=${reach}, n_global=${globals}${keys})`;
}
const CODE = {
  all: ones,
  causal: (size) => (size.rows === size.columns ? `causal_mask(${size.rows})` : `${ones(size)}.tril()`),
  padding: paddingCode,
  window: (size, { window: reach }) => `${ones(size)}.triu(${-reach}).tril(${reach})`,
  cross: paddingCode,
  bigbird: bigbirdCode,
};

/** A mask written out, one line for each query. */
function literal(mask, { rows, columns }) {
  const row = (start) => Array.from(mask.subarray(start, start + columns), (allowed) => (allowed ? "True" : "False")).join(", ");
  return `torch.tensor([\n${Array.from({ length: rows }, (_, index) => `    [${row(index * columns)}]`).join(",\n")},\n])`;
}

/** One mask as code; a drawing that equals a ready mask is named like it. */
function layerCode(name, drawing, settings, size) {
  const ready = (other) => maskOf(size, (query, key) => PRESETS[other](query, key, { ...settings, real: size.columns }));
  const equal = (other) => ready(other).every((allowed, place) => allowed === drawing[place]);
  const known = name === OWN ? ["all", "causal", "window"].find(equal) : name;
  if (!known) return literal(drawing, size);
  return known in CODE ? CODE[known](size, settings) : literal(ready(known), size);
}

const together = (codes, how) => {
  if (codes.length === 1) return codes[0];
  return how === "and" ? `combine_masks(${codes[0]}, ${codes[1]})` : `${codes[0]} | ${codes[1]}`;
};

/** The mask of the whole batch as code, and its shape in words: {code, shape}. form: "course" or "torch". */
function maskCode(names, how, drawing, settings, size, form) {
  let parts = new Map(names.map((name) => [layerCode(name, drawing, settings, size), PADDED.includes(name)]));
  const everything = ones(size);
  if (parts.has(everything) && parts.size > 1) {          // "all" changes nothing in an AND, and an OR with it is "all"
    parts = new Map([...parts].filter(([code]) => (code === everything) === (how === "or")));
  }
  const [codes, padded, batch] = [[...parts.keys()], [...parts.values()].includes(true), settings.lengths.length];
  const sizes = `${size.rows}, ${size.columns}`;
  if (form === "course") {
    const shape = codes.length > 1 ? `(${batch}, 1, ${sizes})` : `(${batch}, 1, 1, ${size.columns})`;
    return { code: together(codes, how), shape: padded ? shape : `(${sizes})` };
  }
  if (padded && how === "or" && codes.length > 1) {
    const either = `attn_mask = ~(${together(codes, how)})`;
    return batch === 1 ? { code: `${either}[0, 0]`, shape: `(${sizes})` }
      : { code: `${either}[:, 0].repeat_interleave(n_heads, 0)`, shape: `(${batch} · n_heads, ${sizes})` };
  }
  return twoArguments(parts, how, sizes, `(${batch}, ${size.columns})`);
}

/** `nn.MultiheadAttention` takes padding apart. Both forbid, so what is left is an AND. */
function twoArguments(parts, how, sizes, paddingShape) {
  const [plain, padding] = [false, true].map((wanted) => [...parts].filter(([, padded]) => padded === wanted).map(([code]) => code));
  const lines = [];
  const shapes = [];
  if (plain.length) {
    const joined = together(plain, how);
    lines.push(joined.includes(" | ") ? `attn_mask = ~(${joined})` : `attn_mask = ~${joined}`);
    shapes.push(`(${sizes})`);
  }
  if (padding.length) {
    lines.push(`key_padding_mask = ~${padding[0]}[:, 0, 0]`);
    shapes.push(paddingShape);
  }
  return { code: lines.join("\n"), shape: shapes.join(" and ") };
}

// ---------------------------------------------------------------- what is told

const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

const named = (name) => ({ [OWN]: "the drawing", bigbird: "BigBird" })[name] ?? name;

/** What a single mask is for. */
function purpose(name, settings) {
  const { cross, window: reach } = settings;
  const texts = {
    all: "Every query looks at every key: an encoder, and no padding.",
    causal: cross ? "Queries and keys are two sequences here. To compare their positions is rarely what is wanted."
      : "A query looks at itself and at what came before. The first one has no choice: its whole weight is on itself.",
    padding: "The sequence was filled up to the length of its batch. No query looks at the filling. Queries that are filling are computed too, and not used.",
    window: `A query looks at most ${count(reach, "place")} to either side.`,
    cross: "Queries from the decoder, keys from the encoder. The source is all there, so nothing is causal; padding alone is masked.",
    bigbird: bigbirdPurpose(settings),
    own: "Your own drawing. Choose a ready mask to leave it; it is kept under “own drawing”.",
  };
  return texts[name] ?? "";
}

function bigbirdPurpose({ window: reach, globals, randoms }) {
  const parts = [`A query looks at most ${count(reach, "place")} to either side.`];
  if (globals) parts.push(globals === 1 ? "The first token is global: it sees all and is seen by all." : `The first ${globals} tokens are global: they see all and are seen by all.`);
  if (randoms) parts.push(`Each other query gets ${count(randoms, "key")} more, drawn at random (dots): once, and the same at every call.`);
  return parts.join(" ");
}

/** Which part of BigBird allows a pair. */
function bigbirdPart(query, key, { window: reach, globals }) {
  if (query < globals) return "a global token sees all";
  if (key < globals) return "a global token is seen by all";
  return Math.abs(query - key) <= reach ? "in the window" : "drawn at random";
}

/** Which combination is meant, and what the other one lets through. layers: two {name, mask}. */
function combination(layers, how, mask) {
  const [one, other] = layers.map(({ name }) => name);
  if (how === "and") {
    const both = one === "causal" && PADDED.includes(other) ? " Here: a key must not be in the future, and must not be padding." : "";
    return ["AND is usually wanted.", ` A key must be allowed by both masks.${both}`];
  }
  const opened = layers.map(({ name, mask: own }) => [own.filter((allowed, place) => !allowed && mask[place]).length, name])
    .filter(([cells]) => cells > 0).map(([cells, name]) => `${count(cells, "cell")} ${FORBIDS[name] ?? `that ${named(name)} forbids`}`);
  return ["OR is rarely wanted.", ` One mask alone lets a key in${opened.length ? `: here ${opened.join(" and ")}` : ""}.`];
}

// ---------------------------------------------------------------- the widget

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "mask-builder", title: "Mask", note: "blue: may attend · hatched: masked" });
  const size = { rows: model.get("query_tokens").length, columns: model.get("key_tokens").length };
  const { rows, columns } = size;
  const cross = model.get("cross");
  const scores = decode(model.get("scores")).data;
  const view = { row: Math.min(2, rows - 1), column: Math.min(3, columns - 1), stroke: null };
  const themeNow = followTheme(card.root, () => redraw(), signal);
  /** Several traits at once: drawn once, saved at once. */
  const put = (values) => {
    view.held = true;
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    view.held = false;
    update();
    model.save_changes();
  };

  // ------------------------------------------------------------ what is computed
  const drawingNow = () => decode(model.get("drawing")).data;
  const packed = (mask) => ({ shape: [rows, columns], dtype: "uint8", data: new DataView(Uint8Array.from(mask).buffer) });
  const settingsNow = () => ({ lengths: model.get("lengths"), window: model.get("window"), cross,
    real: model.get("lengths")[model.get("sequence")] ?? model.get("lengths")[0],
    globals: model.get("n_global"), randoms: model.get("n_random"), draw: model.get("draw") });

  function compute() {
    const settings = settingsNow();
    settings.randomKeys = cross ? [] : drawKeys(rows, settings);
    const drawing = drawingNow();
    const names = [model.get("first"), model.get("second")].filter((name) => name !== NONE);
    const layers = names.map((name) => ({ name, mask: name === OWN ? drawing
      : maskOf(size, (query, key) => PRESETS[name](query, key, settings)) }));
    const mask = combined(layers[0].mask, layers[1]?.mask, model.get("combine"));
    const masked = scores.map((score, place) => (mask[place] ? score : -Infinity));
    const padded = names.some((name) => PADDED.includes(name));
    const label = (token, place, pads) => (pads && padded && place >= settings.real ? "[PAD]" : shortened(legible(token), 8));
    Object.assign(view, {
      settings, names, layers, mask, masked, padded, empty: emptyRows(mask, size),
      before: softmaxRows(scores, columns), after: softmaxRows(masked, columns),
      queries: model.get("query_tokens").map((token, place) => label(token, place, !cross)),
      keys: model.get("key_tokens").map((token, place) => label(token, place, true)),
      ...maskCode(names, model.get("combine"), drawing, settings, size, model.get("form")),
    });
  }

  // ------------------------------------------------------------ controls
  const real = makeSlider({ label: "real keys", min: 0, max: columns, step: 1, value: 1, show: (value) => `${value} of ${columns}`,
    changed: (value) => put({ lengths: model.get("lengths").map((length, place) => (place === model.get("sequence") ? value : length)) }) });
  const reach = makeSlider({ label: "reach", min: 0, max: Math.max(1, Math.max(rows, columns) - 1), step: 1, value: 1, show: (value) => `±${value}`, changed: (value) => put({ window: value }) });
  const sequence = make("select", { "aria-label": "Sequence of the batch", on: { change: () => put({ sequence: Number(sequence.value) }) } });
  const globals = makeSlider({ label: "global", min: 0, max: rows, step: 1, value: 1, changed: (value) => put({ n_global: value }) });
  const randoms = makeSlider({ label: "random", min: 0, max: rows, step: 1, value: 1, changed: (value) => put({ n_random: value }) });
  const again = make("button", { type: "button", class: "rta-button", text: "Draw again", on: { click: () => put({ draw: (model.get("draw") + 1) % DRAWS }) } });
  card.controls.append(sequence, real, reach, globals, randoms, again);

  const choice = (trait, label, options) => {
    const select = make("select", { "aria-label": label, on: { change: () => put({ [trait]: select.value }) } },
      ...options.map((name) => make("option", { value: name, text: name === NONE ? "no second mask" : LABELS[name] ?? name })));
    return select;
  };
  const first = choice("first", "First mask, A", model.get("offers"));
  const second = choice("second", "Second mask, B", [NONE, ...model.get("offers")]);
  const how = makeSwitch("Combine", [["and", "AND"], ["or", "OR"]], "and", (value) => put({ combine: value }));

  // ------------------------------------------------------------ the parts of the card
  const layersPart = make("div", { class: "rta-mask-layers" });
  const editorPart = make("div", { class: "rta-mask-editor" });
  const chainPart = make("div", {});
  const told = make("p", { class: "rta-mask-told", role: "status" });
  const growth = make("p", { class: "rta-mask-growth" });
  const numbersPart = make("div", { class: "rta-mask-numbers" });
  const codePart = make("div", { class: "rta-mask-code" });
  card.body.append(make("div", { class: "rta-mask" }, layersPart, editorPart, chainPart), told, growth,
    make("div", { class: "rta-mask-below" }, numbersPart, codePart));
  const letter = (text) => make("b", { class: "rta-mono", text });
  layersPart.append(make("label", { class: "rta-field" }, letter("A"), first));
  const small = [makeStage(layersPart, { height: SMALL, label: "First mask", paint: guarded(card, (width) => paintSmall(0, width)), signal })];
  layersPart.append(how, make("label", { class: "rta-field" }, letter("B"), second));
  small.push(makeStage(layersPart, { height: SMALL, label: "Second mask", paint: guarded(card, (width) => paintSmall(1, width)), signal }));
  const editorName = make("div", { class: "rta-caption" });
  editorPart.append(editorName);
  const editor = makeStage(editorPart, { height: 320, label: "Mask: arrow keys move, Space allows or forbids, Shift with an arrow key paints on",
    paint: guarded(card, paintEditor), signal });
  const chain = makeStage(chainPart, { height: 320, label: "Scores and weights, without the mask and with it", paint: guarded(card, paintChain), signal });
  const row = makeStage(numbersPart, { height: 5 * LINE, label: "Numbers of the chosen query", paint: guarded(card, paintNumbers), signal });
  const stages = [...small, editor, chain, row];
  const redraw = () => { for (const stage of stages) stage.redraw(); };

  // ------------------------------------------------------------ drawing
  const pen = make("canvas").getContext("2d");
  const textWidth = (text) => {
    pen.font = `14px ${getComputedStyle(card.root).fontFamily}`;
    return pen.measureText(text).width;
  };
  /** As much of the text as fits, at the size of small text. */
  const fitting = (text, pixels) => {
    let most = Array.from(text).length;
    while (most > 1 && textWidth(shortened(text, most)) * (12.5 / 14) > pixels) most -= 1;
    return shortened(text, most);
  };
  function allow() {
    const theme = themeNow();
    theme.allow ??= rgb(getComputedStyle(card.root).getPropertyValue("--rta-allow").trim());
    return theme.allow;
  }

  /** A box in a colour [r, g, b], or hatched on grey where there is none: masked. */
  function paintBox(context, shade, left, top, wide, high) {
    context.save();
    context.fillStyle = shade ? css(shade) : themeNow().mask;
    if (!shade) context.globalAlpha = 0.35;
    context.fillRect(left, top, wide, high);
    context.restore();
    if (!shade) hatch(context, themeNow().mask, left, top, wide, high);
  }

  /** Cells with a thin gap. colour(place) gives [r, g, b], or null for a masked cell. */
  function paintGrid(context, { x, y, wide, high }, colour) {
    const gap = Math.min(wide, high) >= 12 ? 1 : 0.5;
    for (let place = 0; place < rows * columns; place += 1) {
      paintBox(context, colour(place), x + (place % columns) * wide, y + Math.floor(place / columns) * high, wide - gap, high - gap);
    }
  }

  /** The chosen row in blue; its column dashed in orange, or the cell alone. */
  function paintChoice(stage, { x, y, wide, high }, columnToo = true) {
    if (columnToo) stage.add("rect", { class: "of-key", x: x + view.column * wide - 2, y: y - 2, width: wide + 3, height: rows * high + 3, rx: 3 });
    stage.add("rect", { class: "of-query", x: x - 2, y: y + view.row * high - 2, width: columns * wide + 3, height: high + 3, rx: 3 });
    stage.add("rect", { class: "mark", x: x + view.column * wide, y: y + view.row * high, width: wide - 1, height: high - 1, rx: 2 });
  }

  /** A red dashed frame around every row that may attend to nothing. */
  function flagEmpty(stage, { x, y, wide, high }) {
    for (const empty of view.empty) {
      stage.add("rect", { class: "of-empty", x: x - 1, y: y + empty * high, width: columns * wide + 1, height: high - 1, rx: 3 });
    }
  }

  function paintSmall(index, width) {
    const cell = Math.min(SMALL / rows, SMALL / columns, (width - 22) / columns);
    const context = small[index].clear(width, rows * cell + 2);
    const layer = view.layers[index];
    if (!layer) {
      small[index].add("rect", { class: "line dashed", x: 22.5, y: 0.5, width: columns * cell, height: rows * cell, rx: 3 });
      return;
    }
    paintGrid(context, { x: 22, y: 0, wide: cell, high: cell }, (place) => (layer.mask[place] ? allow() : null));
  }

  /** Where the large grid lies. Labels of the keys are made smaller or turned where they are wider than a cell. */
  function editorPlace(width) {
    const left = Math.max(...view.queries.map(textWidth)) + (view.empty.length ? 24 : 12);
    const wanted = within(Math.floor(EDITOR / Math.max(rows, columns)), SMALLEST_CELL, LARGEST_CELL);
    const widest = Math.max(...view.keys.map(textWidth));
    const fits = [14, 12.5].find((pixels) => (widest * pixels) / 14 <= wanted - 6);
    const turn = fits ? 0 : wanted < 20 ? 90 : 45;
    const [over, right] = { 0: [14, 4], 45: [0.72 * widest + 6, Math.max(4, 0.72 * widest - wanted / 2 + 8)], 90: [widest, 4] }[turn];
    const cell = Math.min(wanted, (width - left - right) / columns);
    return { x: left, y: over + 10, wide: cell, high: cell, turn, pixels: fits ?? (wanted < 20 ? 12.5 : 14), full: left + wanted * columns + right };
  }

  function paintEditor(width) {
    const place = editorPlace(width);
    view.place = place;
    const { x, y, wide: cell } = place;
    const context = editor.clear(width, y + rows * cell + 4);
    paintGrid(context, place, (cellAt) => (view.mask[cellAt] ? allow() : null));
    if (view.names.includes("bigbird")) dotRandom(place);
    paintLabels(place);
    flagEmpty(editor, place);
    paintChoice(editor, place);
  }

  /** A dot in each cell that is allowed and was drawn at random. */
  function dotRandom({ x, y, wide, high }) {
    view.settings.randomKeys.forEach((keys, query) => keys.filter((key) => view.mask[query * columns + key]).forEach((key) => {
      editor.add("circle", { class: "random", cx: x + (key + 0.5) * wide - 0.5, cy: y + (query + 0.5) * high - 0.5, r: Math.max(2, wide / 10) });
    }));
  }

  function paintLabels({ x, y, wide: cell, turn, pixels }) {
    view.keys.forEach((text, column) => {
      const middle = x + (column + 0.5) * cell;
      const options = turn ? { transform: `translate(${middle + 4} ${y - 7}) rotate(${-turn})` } : { x: middle, y: y - 8, "text-anchor": "middle" };
      editor.add("text", { class: column === view.column ? "key strong" : "key", style: `font-size: ${pixels}px`, ...options, text });
    });
    view.queries.forEach((text, index) => {
      const isEmpty = view.empty.includes(index);
      editor.add("text", { class: `${isEmpty ? "empty" : "query"} ${index === view.row ? "strong" : ""}`, style: `font-size: ${cell < 17 ? 12.5 : 14}px`, x: x - 8,
        y: y + (index + 0.5) * cell + 4.5, "text-anchor": "end", text: isEmpty ? `! ${text}` : text });
    });
  }

  // ------------------------------------------------------------ from scores to weights
  const largestScore = scores.reduce((most, score) => Math.max(most, Math.abs(score)), 0) || 1;
  const ofScore = (place) => themeNow().signed(scores[place] / largestScore);
  const unmasked = (colour) => (place) => (view.mask[place] ? colour(place) : null);
  const loud = (weight) => (weight >= LOUD ? fixed(weight, 2) : "");
  const PANELS = [
    { name: "raw scores", colour: ofScore, text: () => "" },
    { name: "weights, no mask", colour: (place) => themeNow().weight(view.before[place]), text: (place) => loud(view.before[place]) },
    { name: "scores, masked", colour: unmasked(ofScore), text: (place) => (view.mask[place] ? "" : "−∞") },
    { name: "weights, masked", colour: unmasked((place) => themeNow().weight(view.after[place])), text: (place) => (view.mask[place] ? loud(view.after[place]) : "") },
  ];

  /** Four matrices, as high as the large grid leaves room for; their cells are wider than high, for a number. */
  function chainPlaces(width) {
    const [between, captions] = [62, 62];
    const high = Math.min(Math.max(CHAIN, (editorPlace(Infinity).wide * rows - 20) / 2) / rows, 28);
    const wide = Math.min((width - between - 4) / 2 / columns, (rows <= 8 ? 1.8 : 1) * high);
    const size = { wide, high: Math.min(high, Math.max(wide, 8)) };
    return PANELS.map((_, index) => ({ ...size, x: (index % 2) * (Math.max(columns * wide, 112) + between) + 2, y: 22 + (index < 2 ? 0 : rows * size.high + captions - 22) }));
  }

  function paintChain(width) {
    const places = chainPlaces(width);
    view.chainPlaces = places;
    const [wide, high] = [columns * places[0].wide, rows * places[0].high];
    const context = chain.clear(width, places[3].y + high + 4);
    PANELS.forEach(({ name, colour, text }, index) => {
      const place = places[index];
      chain.add("text", { class: "small dim", x: place.x, y: place.y - 8, text: name });
      paintGrid(context, place, colour);
      writeCells(place, colour, text);
      if (index > 1) flagEmpty(chain, place);
      paintChoice(chain, place, false);
    });
    for (const { x, y } of [places[0], places[2]]) {
      arrow(chain.add, [x + wide + 8, y + high / 2], [x + wide + 54, y + high / 2]);
      chain.add("text", { class: "small dim", x: x + wide + 30, y: y + high / 2 - 8, "text-anchor": "middle", text: "softmax" });
    }
    const down = places[0].x + Math.max(wide - 12, 96);         // beside the caption below
    arrow(chain.add, [down, places[0].y + high + 6], [down, places[2].y - 6], "now");
    chain.add("text", { class: "small strong", x: down + 8, y: places[2].y - 14, text: "mask" });
  }

  /** A number into each cell where there is room for one. */
  function writeCells({ x, y, wide, high }, colour, text) {
    if (wide < 27 || high < 16) return;
    for (let place = 0; place < rows * columns; place += 1) {
      if (!text(place)) continue;
      const shade = colour(place);
      chain.add("text", { class: `small number ${shade ? "" : "infinity"}`, x: x + ((place % columns) + 0.5) * wide - 0.5, y: y + (Math.floor(place / columns) + 0.5) * high + 4,
        "text-anchor": "middle", text: text(place), style: shade ? `fill: ${textOn(shade)}` : undefined });
    }
  }

  // ------------------------------------------------------------ the numbers of one query
  const numbersWide = () => NAMES_WIDTH + columns * within(Math.floor(750 / columns), 29, 46) + SUM_WIDTH;

  function paintNumbers(width) {
    const cell = (width - NAMES_WIDTH - SUM_WIDTH) / columns;
    const context = row.clear(width, 5 * LINE + 2);
    const at = (values) => values.subarray(view.row * columns, (view.row + 1) * columns);
    const { weight } = themeNow();
    const score = (value) => themeNow().signed(value / largestScore);
    const lines = [
      { name: "score", values: at(scores), ramp: score, digits: 1 }, { name: "weight, no mask", values: at(view.before), ramp: weight, digits: 2 },
      { name: "score, masked", values: at(view.masked), ramp: score, digits: 1, masked: "−∞" },
      { name: "weight, masked", values: at(view.after), ramp: weight, digits: 2, masked: "0" },
    ];
    row.add("text", { class: "query strong", x: 0, y: 16, text: `query ${fitting(view.queries[view.row], NAMES_WIDTH - 72)}` });
    view.keys.forEach((text, column) => row.add("text", { class: `key small ${column === view.column ? "strong" : ""}`,
      x: NAMES_WIDTH + (column + 0.5) * cell, y: 16, "text-anchor": "middle", text: fitting(text, cell - 2) }));
    lines.forEach((line, index) => paintLine({ context, cell, top: (index + 1) * LINE, ...line }));
    row.add("rect", { class: "of-key", x: NAMES_WIDTH + view.column * cell - 1, y: LINE - 1, width: cell + 1, height: 4 * LINE + 1, rx: 3 });
  }

  /** One row of numbers. masked: what stands where the mask forbids; a row without it knows no mask. */
  function paintLine({ context, cell, top, name, values, ramp, digits, masked }) {
    row.add("text", { class: "small", x: 0, y: top + 15, text: name });
    values.forEach((value, column) => {
      const allowed = !masked || view.mask[view.row * columns + column];
      const x = NAMES_WIDTH + column * cell;
      const shade = allowed ? ramp(value) : null;
      paintBox(context, shade, x, top, cell - 1, LINE - 1);
      if (cell < 27) return;
      const digitsOf = cell < 36 && digits === 2 ? fixed(value, 2).replace("0.", ".") : fixed(value, digits);
      row.add("text", { class: `small number ${allowed ? "" : "infinity"}`, x: x + cell / 2, y: top + 15, "text-anchor": "middle", text: allowed ? digitsOf : masked,
        style: shade ? `fill: ${textOn(shade)}` : undefined });
    });
    if (digits === 1) return;
    const sum = values.reduce((total, value) => total + value, 0);
    row.add("text", { class: `small number ${sum ? "dim" : "empty"}`, x: NAMES_WIDTH + columns * cell + 8, y: top + 15, text: `Σ ${fixed(sum, 2)}` });
  }

  // ------------------------------------------------------------ the code
  const form = makeSwitch("Convention", [["course", "True = may attend"], ["torch", "True = NOT allowed"]], "course", (value) => put({ form: value }));
  const text = make("textarea", { readonly: true, rows: 2, spellcheck: "false", "aria-label": "The mask as code", class: "rta-mono" });
  const copy = make("button", { type: "button", class: "rta-button", text: "Copy", on: { click: copyCode } });
  const convention = make("div", { class: "rta-note" });
  codePart.append(make("div", { class: "rta-mask-form" }, form, copy), text, convention);

  async function copyCode() {
    try {
      await navigator.clipboard.writeText(text.value);
      card.say("The code is in the clipboard.");
    } catch {
      text.focus();
      text.select();
      card.say("The browser did not allow the copy. The code is selected: press Ctrl+C, or ⌘C.");
    }
  }

  function showCode() {
    form.choose(model.get("form"));
    if (text.value !== view.code) text.value = view.code;
    text.rows = within(Math.max(view.code.split("\n").length, Math.ceil(view.code.length / CODE_LINE)), 2, 4);
    const who = { course: [make("code", { text: "F.scaled_dot_product_attention" }), " and this course. A float mask is added to the scores: 0 or −∞."],
      torch: [make("code", { text: "nn.MultiheadAttention" }), ", ", make("code", { text: "nn.Transformer…" }), ": the opposite, so ", make("code", { text: "~mask" }), ". A float mask is added: 0 or −∞."] };
    convention.replaceChildren(`shape ${view.shape} · ${view.code.includes("random_keys") ? "keys counted from 0 · " : ""}`, ...who[model.get("form")]);
  }

  // ------------------------------------------------------------ words
  function showControls() {
    const { lengths, real: length } = view.settings;
    first.value = model.get("first");
    second.value = model.get("second");
    how.choose(model.get("combine"));
    for (const button of how.children) button.disabled = view.layers.length < 2;
    real.put(length);
    reach.put(view.settings.window);
    real.hidden = !view.padded;
    const bigbird = view.names.includes("bigbird");
    reach.hidden = !bigbird && !view.names.includes("window");
    globals.put(view.settings.globals);
    randoms.put(view.settings.randoms);
    for (const control of [globals, randoms, again]) control.hidden = !bigbird;
    sequence.hidden = !view.padded || lengths.length < 2;
    if (sequence.hidden) return;
    sequence.replaceChildren(...lengths.map((_, place) => make("option", { value: place, text: `sequence ${place + 1} of ${lengths.length}` })));
    sequence.value = model.get("sequence");
  }

  function tell() {
    const sign = model.get("combine") === "and" ? "∧" : "∨";
    editorName.replaceChildren(make("b", { text: view.layers.length > 1 ? `A ${sign} B` : "A" }), ": click or drag to paint");
    told.classList.toggle("rta-mask-alert", view.empty.length > 0);
    if (view.empty.length) {
      const who = view.empty.length === 1 ? [make("b", { text: `! Query ${view.empty[0] + 1} may attend to nothing.` })]
        : [make("b", { text: `! ${view.empty.length} queries may attend to nothing.` })];
      told.replaceChildren(...who, " Softmax of a row of −∞ is 0/0 = NaN. This course and ", make("code", { text: "F.scaled_dot_product_attention" }),
        " give zeros there, ", make("code", { text: "nn.MultiheadAttention" }), " gives NaN.");
    } else if (view.layers.length > 1) {
      const [head, rest] = combination(view.layers, model.get("combine"), view.mask);
      told.replaceChildren(make("b", { text: head }), rest);
    } else told.replaceChildren(purpose(view.names[0], view.settings));
  }

  const number = (value) => make("span", { class: "rta-mono", text: value });

  /** How BigBird's cells grow with the length: along the text, and not with its square. */
  function tellGrowth() {
    growth.hidden = !view.names.includes("bigbird");
    if (growth.hidden) return;
    const cells = (length) => bigbirdCells(length, view.settings);
    const share = (length) => `${Number(((100 * cells(length)) / length ** 2).toPrecision(2))} %`;
    const whole = (value) => value.toLocaleString("en");
    growth.replaceChildren(`${view.names.length > 1 ? "BigBird alone: " : ""}`, make("b", { text: `${cells(rows)} of ${rows ** 2} cells` }), ` (${share(rows)}). With the same settings at T = ${whole(LONG)}: `,
      make("b", { text: share(LONG) }), `, ${whole(cells(LONG))} of ${whole(LONG ** 2)}. Twice as long: `, make("b", { text: `${fixed(cells(2 * LONG) / cells(LONG), 1)} times` }),
      " the cells, where all pairs are 4.0 times. A mask alone saves none of this: all scores are computed, and then hidden.");
  }

  function say() {
    const place = view.row * columns + view.column;
    const pair = [make("b", { class: "rta-of-query", text: view.queries[view.row] }), " → ", make("b", { class: "rta-of-key", text: view.keys[view.column] })];
    const verdicts = view.layers.length > 1 ? [` (${view.layers.map(({ name, mask }) => `${named(name)} ${mask[place] ? "allows" : "forbids"}`).join(", ")})`] : [];
    const before = number(fixed(view.before[place]));
    const why = view.names[0] === "bigbird" && view.names.length < 2 ? ` (${bigbirdPart(view.row, view.column, view.settings)})` : "";
    const facts = view.mask[place]
      ? [`: may attend${why}`, ...verdicts, ", score ", number(fixed(scores[place], 1)), ", weight ", before, " → ", number(fixed(view.after[place]))]
      : [": masked", ...verdicts, ", score ", number(fixed(scores[place], 1)), " → ", number("−∞"), ", weight ", before, " → exactly ", number("0")];
    card.say(...pair, ...facts, make("span", { class: "rta-note", text: " · Space toggles, Shift+arrow paints" }));
  }

  // ------------------------------------------------------------ changes
  const update = guarded(card, () => {
    compute();
    card.fail("");
    card.body.style.setProperty("--editor", `${Math.ceil(editorPlace(Infinity).full)}px`);
    card.body.style.setProperty("--numbers", `${numbersWide()}px`);
    showControls();
    redraw();
    showCode();
    tell();
    tellGrowth();
    say();
  });
  for (const name of ["first", "second", "combine", "lengths", "sequence", "window", "n_global", "n_random", "draw", "drawing", "form"]) model.on(`change:${name}`, () => { if (!view.held) update(); });

  /** Paint cells [[row, column], …]: what is on the screen becomes the reader's own drawing. */
  function paintOn(cells, value) {
    const mask = Uint8Array.from(view.mask);
    for (const [line, column] of cells) mask[line * columns + column] = value;
    put({ drawing: packed(mask), first: OWN, second: NONE });
  }
  const valueAt = (line, column) => view.mask[line * columns + column];
  const moveTo = guarded(card, (line, column) => {
    if (line === view.row && column === view.column) return;
    Object.assign(view, { row: line, column });
    for (const stage of [editor, chain, row]) stage.redraw();
    say();
  });
  const toggle = () => paintOn([[view.row, view.column]], 1 - valueAt(view.row, view.column));

  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  editor.stage.addEventListener("keydown", (event) => {
    const paints = event.shiftKey && ARROWS[event.key];
    if (event.key !== " " && !paints) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!paints) { toggle(); return; }
    const value = valueAt(view.row, view.column);
    moveTo(within(view.row + paints[0], 0, rows - 1), within(view.column + paints[1], 0, columns - 1));
    paintOn([[view.row, view.column]], value);
  });
  roving(editor.stage, { size: () => [rows, columns], get: () => [view.row, view.column], move: moveTo, enter: toggle });

  const pointed = (stage, event, { x, y, wide, high }) => {
    const box = stage.stage.getBoundingClientRect();
    return [Math.floor((event.clientY - box.top - y) / high), Math.floor((event.clientX - box.left - x) / wide)];
  };
  const inside = ([line, column]) => line >= 0 && column >= 0 && line < rows && column < columns;
  /** The cells between two: a fast hand skips some. */
  const between = ([fromRow, fromColumn], [toRow, toColumn]) => {
    const steps = Math.max(1, Math.abs(toRow - fromRow), Math.abs(toColumn - fromColumn));
    return Array.from({ length: steps + 1 }, (_, step) =>
      [Math.round(fromRow + ((toRow - fromRow) * step) / steps), Math.round(fromColumn + ((toColumn - fromColumn) * step) / steps)]);
  };
  editor.stage.addEventListener("pointerdown", (event) => {
    const at = pointed(editor, event, view.place);
    if (event.button !== 0 || !inside(at)) return;
    editor.stage.setPointerCapture(event.pointerId);
    view.stroke = { value: 1 - valueAt(...at), last: at };
    moveTo(...at);
    paintOn([at], view.stroke.value);
  });
  editor.stage.addEventListener("pointermove", (event) => {
    const at = pointed(editor, event, view.place);
    if (!inside(at)) return;
    const { stroke } = view;
    moveTo(...at);
    if (!stroke || (at[0] === stroke.last[0] && at[1] === stroke.last[1])) return;
    paintOn(between(stroke.last, at), stroke.value);
    stroke.last = at;
  });
  for (const end of ["pointerup", "pointercancel"]) editor.stage.addEventListener(end, () => { view.stroke = null; });
  chain.stage.addEventListener("pointermove", (event) => {
    const at = view.chainPlaces.map((place) => pointed(chain, event, place)).find(inside);
    if (at) moveTo(...at);
  });

  card.root.numbers = () => ({
    ...Object.fromEntries(["mask", "before", "after", "masked"].map((part) => [part,
      Array.from({ length: rows }, (_, line) => Array.from(view[part].subarray(line * columns, (line + 1) * columns)))])),
    layers: view.names, empty: view.empty, code: view.code, shape: view.shape, row: view.row, column: view.column,
    combine: model.get("combine"), settings: view.settings, place: view.place,
  });
  card.root.choose = put;
  update();
}

export default { render };
