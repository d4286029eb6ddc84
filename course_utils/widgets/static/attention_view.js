// AttentionView: attention weights, head by head. Everything is painted on canvases; frames and labels are SVG.

const MASKED = 255;                                      // the byte of a cell that may not be looked at
const MATRIX = { height: 446, largest: 44, solo: { height: 580, largest: 60 }, gap: 8, round: 16, label: 15, many: 40 };      // pixels: gaps and round corners need cells that large; many: tokens
const THUMBS = { wide: 300, narrow: 220, roomy: 960, high: 360, largest: 56, smallest: 6 };
const LINES = { pitch: 40, faintest: 0.02 };
const LISTED = 13;                                       // bars beside the picture; of longer sentences the largest
const NUMBERS_NEED = 30;                                 // pixels that "0.42" needs

// ---------------------------------------------------------------- the numbers

/** A token as it is shown, not endless. */
const named = (token) => shortened(legible(token), 200);

/** What Python sent first, ready to be drawn. */
function readMaps(maps) {
  const [thumbnails, largest] = [decode(maps.thumbnails), decode(maps.largest)];
  const [layers, heads] = largest.shape;
  const [rows, columns] = [maps.queries.length, maps.keys.length];
  const twice = (tokens) => {
    const seen = new Set();
    return new Set(tokens.filter((token) => seen.has(token) || !seen.add(token)));
  };
  return {
    ...maps, layers, heads, rows, columns, several: layers * heads > 1, thumbnails,
    largestOf: (layer, head) => largest.data[layer * heads + head],
    most: largest.data.reduce((most, value) => Math.max(most, value), 0),
    words: { queries: maps.queries.map(named), keys: maps.keys.map(named) },
    twice: { queries: twice(maps.queries), keys: twice(maps.keys) },
    all: maps.exact ? thumbnails.data : null,            // the colours of every head
  };
}

/** One head's weights from the best that has come: exact numbers, colours, or its thumbnail. NaN is masked. */
function readHead(reading, shown, layer, head) {
  const { rows, columns, heads } = reading;
  if (shown.id === reading.id && shown.layer === layer && shown.head === head) {
    return { layer, head, values: decode(shown.weights).data, exact: true };
  }
  const values = new Float32Array(rows * columns);
  const scale = reading.largestOf(layer, head) / 254;
  const number = (code) => (code === MASKED ? NaN : code * scale);
  if (reading.all) {
    const start = (layer * heads + head) * rows * columns;
    for (let place = 0; place < values.length; place += 1) values[place] = number(reading.all[start + place]);
    return { layer, head, values, exact: false };
  }
  const [, , high, wide] = reading.thumbnails.shape;
  const start = (layer * heads + head) * high * wide;
  const [blockHigh, blockWide] = [Math.ceil(rows / high), Math.ceil(columns / wide)];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      values[row * columns + column] = number(reading.thumbnails.data[start + Math.floor(row / blockHigh) * wide + Math.floor(column / blockWide)]);
    }
  }
  return { layer, head, values, exact: false };
}

/** Place of the largest of `places`, by value(place); null where all are masked or zero. */
function strongest(places, value) {
  let best = null;
  for (const place of places) if (value(place) > (best === null ? 0 : value(best))) best = place;
  return best;
}

// ---------------------------------------------------------------- painting

/** A canvas of diagonal lines, for createPattern: masked cells of all sizes get the same calm texture. */
function hatchTile(colour, side) {
  const tile = new OffscreenCanvas(side, side);
  const context = tile.getContext("2d");
  context.strokeStyle = colour;
  context.lineWidth = 1.2;
  context.beginPath();
  for (const start of [-side, 0, side]) { context.moveTo(start, side); context.lineTo(start + side, 0); }
  context.stroke();
  return tile;
}

/** A picture of rows × columns pixels: `colour(place)` gives [r, g, b], or null for a masked cell. Also where it is masked. */
function pixelPicture(rows, columns, colour) {
  const [cells, masked] = [new ImageData(columns, rows), new ImageData(columns, rows)];
  let any = false;
  for (let place = 0; place < rows * columns; place += 1) {
    const shade = colour(place);
    if (shade) cells.data.set([shade[0], shade[1], shade[2], 255], 4 * place);
    else { masked.data[4 * place + 3] = 255; any = true; }
  }
  const canvas = (pixels) => {
    const picture = new OffscreenCanvas(columns, rows);
    picture.getContext("2d").putImageData(pixels, 0, 0);
    return picture;
  };
  return { cells: canvas(cells), masked: any ? canvas(masked) : null };
}

/** Hatch a box where `masked`, a picture of one pixel a cell, is opaque. */
function hatchWhere(context, masked, tile, x, y, width, height) {
  const [wide, high] = [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
  const layer = new OffscreenCanvas(wide, high);
  const own = layer.getContext("2d");
  own.imageSmoothingEnabled = false;
  own.drawImage(masked, 0, 0, wide, high);
  own.globalCompositeOperation = "source-in";
  own.fillStyle = own.createPattern(tile, "repeat");
  own.fillRect(0, 0, wide, high);
  context.drawImage(layer, x, y, width, height);
}

/** A ruler: how wide a text is at most, in the card's own type. */
function makeRuler(root) {
  const context = document.createElement("canvas").getContext("2d");
  const known = new Map();
  return (text) => {
    if (!known.has(text)) {
      context.font = `600 14px ${getComputedStyle(root).fontFamily || "system-ui, sans-serif"}`;
      known.set(text, context.measureText(text).width);
    }
    return known.get(text);
  };
}

/** Places whose labels can be read: every k-th, except beside one of the `always`. */
function labelled(count, pitch, always, least) {
  const every = Math.max(1, Math.ceil(least / pitch));
  const shown = new Set(always.filter((place) => place >= 0));
  for (let place = 0; place < count; place += every) {
    if (!always.some((other) => other !== place && Math.abs(other - place) * pitch < least)) shown.add(place);
  }
  return shown;
}

// ---------------------------------------------------------------- the widget

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "attention-view", title: "Attention" });
  const special = new Set(model.get("special"));
  // lock, hover, rest: [row, column] as numbers of tokens; null follows the largest weight. rest: where the cursor was left.
  const view = { reading: null, head: null, hover: null, rest: [null, null], solo: false, rows: [], columns: [] };
  const ruler = makeRuler(card.root);
  const themeNow = followTheme(card.root, () => { tiles.clear(); show(); paintThumbs(); }, signal);
  const tiles = new Map();
  const hatching = (side) => {
    if (!tiles.has(side)) tiles.set(side, hatchTile(themeNow().mask, side));
    return tiles.get(side);
  };
  const get = (name) => model.get(name);
  const put = (changes) => { model.set(changes); model.save_changes(); };

  // ------------------------------------------------------------ what is chosen
  const at = (row, column) => view.head.values[row * view.reading.columns + column];
  const lock = () => (get("query") === null && get("key") === null ? null : [get("query"), get("key")]);
  const byKey = () => get("direction") === "key";
  const visible = (place, places) => (places.includes(place) ? place : places.reduce((best, other) => (Math.abs(other - place) < Math.abs(best - place) ? other : best)));

  /** The cell that is read out: [row, column], both among those shown. */
  function cursor() {
    const { rows, columns } = view;
    let [row, column] = lock() ?? view.hover ?? view.rest;
    if (row !== null) row = visible(row, rows);
    if (column !== null) column = visible(column, columns);
    if (row === null && column === null) row = rows[0];
    if (row === null) row = strongest(rows, (place) => at(place, column)) ?? rows[0];
    if (column === null) column = strongest(columns, (place) => at(row, place)) ?? columns[0];
    return [row, column];
  }

  /** A word worth a first look: it looks hardest at another word that is not special. */
  function firstWord() {
    const { reading, rows, columns } = view;
    const worth = (row) => {
      const others = columns.filter((column) => !special.has(reading.keys[column]) && reading.keys[column] !== reading.queries[row]);
      const column = strongest(others, (place) => at(row, place));
      return special.has(reading.queries[row]) || column === null ? 0 : at(row, column);
    };
    return strongest(rows, worth) ?? rows[0];
  }

  function findVisible() {
    const { reading } = view;
    const places = (tokens) => tokens.map((_, place) => place).filter((place) => !(get("hide") && special.has(tokens[place])));
    [view.rows, view.columns] = [places(reading.queries), places(reading.keys)];
  }
  const top = () => {
    const { reading } = view;
    const most = get("stretch") ? reading.largestOf(get("layer"), get("head")) : reading.most;
    return Math.max(most, Math.min(1, 4 / reading.columns));
  };

  // ------------------------------------------------------------ controls
  const chooseForm = makeSwitch("Form", [["matrix", "Matrix"], ["lines", "Lines"]], get("form"), (form) => put({ form }));
  const chooseDirection = makeSwitch("Direction", [["query", "query → key"], ["key", "key → query"]], get("direction"), (direction) => put({ direction }));
  const solo = make("button", { type: "button", class: "rta-button", "aria-pressed": "false", on: { click: () => setSolo(!view.solo) } });
  card.controls.append(chooseForm, chooseDirection, solo);
  const checkbox = (name) => {
    const input = make("input", { type: "checkbox", on: { change: () => put({ [name]: input.checked }) } });
    const text = make("span", {});
    const label = make("label", { class: "rta-check" }, input, text);
    label.put = (caption, disabled = false) => { text.textContent = caption; input.disabled = disabled; input.checked = get(name); };
    return label;
  };
  const numbers = checkbox("numbers");
  const hide = checkbox("hide");
  const stretch = checkbox("stretch");
  const legend = { strip: make("canvas", { width: 96, height: 1, "aria-hidden": "true" }), top: make("span", { class: "rta-mono" }), masked: make("span", { class: "rta-masked-key" }) };
  legend.masked.append(make("canvas", { width: 16, height: 12, "aria-hidden": "true" }), " masked");

  // ------------------------------------------------------------ the reader's own sentence
  const field = make("input", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": "Your own sentence" });
  field.value = get("text");
  const examples = makeExamples(get("examples"), (text) => { field.value = text; asker.ask({ text }, true); });
  const asker = makeAsker({
    model, signal, busy: card.busy, failed: (message) => card.fail(message), wait: 300,
    answered: (answer) => { if (document.activeElement !== field) field.value = answer.text; },
  });
  field.addEventListener("input", () => asker.ask({ text: field.value }));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) asker.ask({ text: field.value }, true); });

  // ------------------------------------------------------------ layout
  const thumbsBox = make("div", { class: "rta-heads" });
  const mainBox = make("div", {});
  const sideTitle = make("div", { class: "rta-caption" });
  const bars = make("div", { class: "rta-bars" });
  const sideNote = make("div", { class: "rta-note rta-side-note" });
  const options = make("div", { class: "rta-attention-options" }, numbers, hide, stretch,
    make("div", { class: "rta-ramp", role: "img", "aria-label": "The colours of the weights" }, "0", legend.strip, legend.top, legend.masked));
  const layout = make("div", { class: "rta-attention" }, thumbsBox, mainBox,
    make("div", { class: "rta-attention-side" }, make("div", {}, sideTitle, bars, sideNote), options));
  if (get("asks")) {
    card.body.append(make("div", { class: "rta-attention-ask" }, make("label", { class: "rta-field" }, "Your own sentence", field), examples), card.error);
  }
  card.body.append(layout);
  const thumbs = makeStage(thumbsBox, { label: "All heads: arrow keys choose one, Enter shows it alone", paint: guarded(card, () => paintThumbs()), signal });
  const main = makeStage(mainBox, { label: "Attention weights: arrow keys move from cell to cell, Enter locks", paint: guarded(card, paintMain), signal });
  // Focus redraws the words: a click whose pressed element is gone would never arrive.
  main.svg.style.pointerEvents = "none";

  // ------------------------------------------------------------ thumbnails
  function thumbsLayout() {
    const { layers, heads } = view.reading;
    const [left, head] = [22, 40];
    const wide = layout.clientWidth > THUMBS.roomy ? THUMBS.wide : THUMBS.narrow;
    const pitch = within(Math.floor(Math.min((wide - left) / heads, THUMBS.high / layers)), THUMBS.smallest, THUMBS.largest);
    const gap = pitch >= 40 ? 8 : pitch >= 16 ? 3 : 1;
    return { left, head, pitch, gap, size: pitch - gap, width: left + heads * pitch + 4, height: head + layers * pitch + 4 };
  }

  /** The thumbnails' place is as wide as they are: the rest is the large picture's. */
  function fitThumbs() {
    const width = `${thumbsLayout().width}px`;
    if (thumbsBox.style.width === width) return false;
    thumbsBox.style.width = width;
    return true;
  }

  function paintThumbs() {
    const { reading } = view;
    if (!reading?.several || view.solo || !card.root.isConnected) return;
    const { left, head: above, pitch, gap, size, width, height } = thumbsLayout();
    const context = thumbs.clear(width, height);
    const theme = themeNow();
    const [layers, heads, high, wide] = reading.thumbnails.shape;
    const line = getComputedStyle(card.root).getPropertyValue("--rta-line");
    context.imageSmoothingEnabled = high > size || wide > size;
    for (let layer = 0; layer < layers; layer += 1) {
      for (let head = 0; head < heads; head += 1) {
        const start = (layer * heads + head) * high * wide;
        const most = reading.largestOf(layer, head);
        const scale = most / 254 / Math.max(get("stretch") ? most : reading.most, Math.min(1, 4 / reading.columns));
        const { cells, masked } = pixelPicture(high, wide, (place) => {
          const code = reading.thumbnails.data[start + place];
          return code === MASKED ? null : theme.weight(code * scale);
        });
        const [x, y] = [left + head * pitch, above + layer * pitch];
        context.drawImage(cells, x, y, size, size);
        if (masked) hatchWhere(context, masked, hatching(size < 28 ? 3 : 4), x, y, size, size);
        context.strokeStyle = line;
        context.lineWidth = 1;
        if (gap >= 3) context.strokeRect(x - 0.5, y - 0.5, size + 1, size + 1);
      }
    }
    const every = (count) => (pitch >= 18 ? 1 : pitch >= 12 ? 2 : Math.min(count, Math.ceil(20 / pitch / 5) * 5));
    const label = (x, y, text, anchor) => thumbs.add("text", { class: "dim small", x, y, "text-anchor": anchor, text });
    label(0, 12, "layer ↓  head →", "start");
    for (let head = 0; head < heads; head += every(heads)) label(left + head * pitch + size / 2, above - 8, String(head + 1), "middle");
    for (let layer = 0; layer < layers; layer += every(layers)) label(left - 6, above + layer * pitch + size / 2 + 4.5, String(layer + 1), "end");
    view.frame = thumbs.add("rect", { class: "brand", rx: 3, width: size + 5, height: size + 5, fill: "none" });
    frameHead();
  }

  function frameHead() {
    if (!view.frame || !view.reading.several) return;
    const { left, head, pitch } = thumbsLayout();
    view.frame.setAttribute("x", left + get("head") * pitch - 2.5);
    view.frame.setAttribute("y", head + get("layer") * pitch - 2.5);
  }

  function headAt(event) {
    const box = thumbs.stage.getBoundingClientRect();
    const { left, head, pitch } = thumbsLayout();
    const [column, row] = [Math.floor((event.clientX - box.left - left) / pitch), Math.floor((event.clientY - box.top - head) / pitch)];
    const { layers, heads } = view.reading;
    return row >= 0 && row < layers && column >= 0 && column < heads ? [row, column] : null;
  }

  const chooseHead = guarded(card, (layer, head) => {
    if (layer === get("layer") && head === get("head")) return;
    put({ layer, head });
  });

  function setSolo(on) {
    view.solo = on && view.reading.several;
    card.root.classList.toggle("rta-solo", view.solo);
    thumbsBox.hidden = view.solo || !view.reading.several;
    fitThumbs();
    solo.hidden = !view.reading.several;
    solo.textContent = view.solo ? "All heads" : "Solo";
    solo.title = view.solo ? "Show all heads again" : "Show this head alone and larger";
    solo.setAttribute("aria-pressed", String(view.solo));
    main.redraw();
    paintThumbs();
  }

  roving(thumbs.stage, { size: () => [view.reading.layers, view.reading.heads], get: () => [get("layer"), get("head")],
    move: chooseHead, enter: () => { setSolo(true); solo.focus(); } });
  thumbs.stage.addEventListener("click", (event) => { const found = headAt(event); if (found) chooseHead(...found); });
  thumbs.stage.addEventListener("dblclick", (event) => { if (headAt(event)) setSolo(true); });

  // ------------------------------------------------------------ the large picture
  const wordOf = (side, place, most) => shortened(view.reading.words[side][place], most);
  /** The word, shortened until it is at most `room` pixels wide. */
  function fitted(side, place, room) {
    for (let most = 14; most > 2; most -= 1) {
      const text = wordOf(side, place, most);
      if (ruler(text) <= room) return text;
    }
    return wordOf(side, place, 2);
  }

  /** Where rows, columns and labels stand in the matrix. */
  function matrixLayout(width) {
    const { rows, columns } = view;
    const room = { queries: rows.length > MATRIX.many ? 66 : 108, keys: columns.length > MATRIX.many ? 46 : 92 };
    const widest = (side, places) => Math.min(room[side], Math.max(...places.map((place) => ruler(wordOf(side, place, 14)))));
    const left = Math.ceil(Math.max(widest("queries", rows), 56)) + 12;
    const { height, largest } = view.solo ? MATRIX.solo : MATRIX;
    const wanted = within(Math.floor((width - left - 8) / columns.length), 1, largest);
    const long = widest("keys", columns);
    const flat = long + 8 <= wanted;
    const slope = wanted >= 20 ? 45 : 90;
    const above = Math.max(40, Math.ceil(slope === 45 ? flat ? 0 : long * 0.71 + 20 : long + 12));
    const pixel = 1 / (window.devicePixelRatio || 1);
    const exactly = (size) => (size > 1 ? Math.floor(size / (size < 4 ? pixel : 1)) * (size < 4 ? pixel : 1) : size);
    const fits = Math.min(largest, (width - left - 8) / columns.length, (height - above) / rows.length);
    const cell = exactly(fits);
    const wide = Math.min(exactly((width - left - 8) / columns.length), columns.length < rows.length ? Math.max(cell, Math.min(MATRIX.largest, 4 * cell)) : cell);
    const tall = Math.min(exactly((height - above) / rows.length), rows.length < columns.length ? Math.max(cell, Math.min(30, 4 * cell)) : cell);
    const start = Math.max(0, Math.floor((width - left - wide * columns.length - 8) / 2));
    return { left: start + left, above, wide, tall, flat, slope, room, right: start + left + wide * columns.length, below: above + tall * rows.length };
  }

  /** The two columns of words in the form of lines. */
  function linesLayout(width) {
    const { rows, columns } = view;
    const room = { queries: 112, keys: 112 };
    const widest = (side, places) => Math.min(room[side], Math.max(...places.map((place) => ruler(wordOf(side, place, 14)))));
    const above = 30;
    const { height } = view.solo ? MATRIX.solo : MATRIX;
    const all = Math.min(height - above - 4, (view.solo ? 1.3 : 1) * LINES.pitch * Math.max(rows.length, columns.length));
    const [left, right] = [Math.max(56, widest("queries", rows)), Math.max(56, widest("keys", columns))].map(Math.ceil);
    const between = Math.min(width - left - right - 28, 420);
    const start = Math.max(0, Math.floor((width - left - right - between - 28) / 2));
    const y = (index, count) => above + ((index + 0.5) * all) / count;
    return { above, all, room, x: [start + left + 14, start + left + 14 + between], y, pitch: [all / rows.length, all / columns.length], below: above + all };
  }

  function paintMain(width) {
    if (!view.reading) return;
    if (fitThumbs()) paintThumbs();
    const form = get("form");
    view.layout = { ...(form === "lines" ? linesLayout(width) : matrixLayout(width)), width, form };
    const context = main.clear(width, Math.ceil(view.layout.below) + 6);
    view.canvas = context;
    if (form === "lines") paintLines();
    else paintMatrix(context);
    const room = form === "matrix" && view.layout.wide >= NUMBERS_NEED && view.layout.tall >= 16;
    numbers.put(room || form === "lines" ? "numbers in the cells" : "numbers: cells too small", !room);
    numbers.hidden = form === "lines";
    paintLegend();
    mark();
  }

  function paintMatrix(context) {
    const { rows, columns, layout: { left, above, wide, tall } } = view;
    const theme = themeNow();
    const scale = 1 / top();
    const cell = (place) => at(rows[Math.floor(place / columns.length)], columns[place % columns.length]);
    const spaced = Math.min(wide, tall) >= MATRIX.gap;
    const { cells, masked } = pixelPicture(rows.length, columns.length, (place) => {
      const value = cell(place);
      return Number.isNaN(value) ? null : theme.weight(value * scale);
    });
    if (!spaced) {
      context.imageSmoothingEnabled = false;
      context.drawImage(cells, left, above, wide * columns.length, tall * rows.length);
    }
    if (masked) hatchWhere(context, masked, hatching(Math.min(wide, tall) < 6 ? 4 : 6), left, above, wide * columns.length, tall * rows.length);
    if (!spaced) return;
    const write = get("numbers") && wide >= NUMBERS_NEED && tall >= 16;
    context.font = `12px ${getComputedStyle(card.root).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let place = 0; place < rows.length * columns.length; place += 1) {
      const value = cell(place);
      if (Number.isNaN(value)) continue;
      const [x, y] = [left + (place % columns.length) * wide, above + Math.floor(place / columns.length) * tall];
      const shade = theme.weight(value * scale);
      context.fillStyle = css(shade);
      context.beginPath();
      context.roundRect(x, y, wide - 1, tall - 1, Math.min(wide, tall) >= MATRIX.round ? 3 : 1);
      context.fill();
      if (write) {
        context.fillStyle = textOn(shade);
        context.globalAlpha = value < 0.005 ? 0.5 : 1;
        context.fillText(fixed(value, 2), x + (wide - 1) / 2, y + (tall - 1) / 2 + 0.5);
        context.globalAlpha = 1;
      }
    }
  }

  function paintLines() {
    const { rows, columns, canvas: context, layout: { x, y, width, below } } = view;
    context.clearRect(0, 0, width, below + 6);
    const style = getComputedStyle(card.root);
    const colour = (name) => style.getPropertyValue(`--rta-${name}`).trim();
    const [row, column] = cursor();
    const active = lock() || view.hover || document.activeElement === main.stage;
    const scale = 1 / top();
    const chosen = (one, other) => (byKey() ? other === column : one === row);
    const all = [];
    rows.forEach((one, index) => columns.forEach((other, place) => {
      const share = at(one, other) * scale;
      if (share > LINES.faintest) all.push([chosen(one, other), share, index, place]);
    }));
    all.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
    const thickest = within(0.2 * Math.min(...view.layout.pitch), 1.5, 7);
    context.lineCap = "round";
    for (const [mine, share, index, place] of all) {
      context.strokeStyle = mine ? colour(byKey() ? "query" : "key") : colour("weight-1");
      context.globalAlpha = within(share, 0.06, 1) * (mine ? 1 : active ? 0.16 : 0.72);
      context.lineWidth = Math.max(0.75, thickest * share);
      const [from, to] = [y(index, rows.length), y(place, columns.length)];
      const bend = (x[1] - x[0]) * 0.3;
      context.beginPath();
      context.moveTo(x[0], from);
      context.bezierCurveTo(x[0] + bend, from, x[1] - bend, to, x[1], to);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** Labels and frames: all that changes while the pointer moves over a matrix. */
  function mark() {
    if (!view.layout) return;
    main.svg.replaceChildren();
    if (view.layout.form === "lines") markLines();
    else markMatrix();
    main.stage.dataset.row = cursor()[0];
    main.stage.dataset.column = cursor()[1];
  }

  const label = (options, side, place, chosen) => main.add("text", {
    ...options, class: `${options.class ?? ""} ${chosen ? `rta-${side} strong` : ""}`.trim(), text: fitted(side, place, view.layout.room[side]),
  });

  function markMatrix() {
    const { rows, columns, layout: { left, above, wide, tall, flat, slope, room, right, below } } = view;
    const [row, column] = cursor();
    const [index, place] = [rows.indexOf(row), columns.indexOf(column)];
    main.add("text", { class: "small rta-keys", x: left - 12, y: above - 28, "text-anchor": "end", text: "keys →" });
    main.add("text", { class: "small rta-queries", x: left - 12, y: above - 12, "text-anchor": "end", text: "queries ↓" });
    for (const number of labelled(rows.length, tall, [index], MATRIX.label)) {
      label({ x: left - 12, y: above + (number + 0.5) * tall + 4.5, "text-anchor": "end" }, "queries", rows[number], number === index);
    }
    for (const number of labelled(columns.length, wide, [place], flat ? 1 : slope === 45 ? 19 : MATRIX.label)) {
      const x = left + (number + 0.5) * wide;
      const options = flat ? { x: x - 0.5, y: above - 10, "text-anchor": "middle" }
        : slope === 45 ? { x: x - 1, y: above - 9, transform: `rotate(-45 ${x - 1} ${above - 9})` }
          : { x: x + 4.5, y: above - 8, transform: `rotate(-90 ${x + 4.5} ${above - 8})` };
      label(options, "keys", columns[number], number === place);
    }
    const roles = byKey() ? ["dashed", ""] : ["", "dashed"];
    const locked = lock() ? "rta-locked" : "";
    main.add("rect", { class: `rta-frame rta-queries ${roles[0]} ${locked}`, x: left - 2, y: above + index * tall - 2, width: right - left + 3, height: tall + 3, rx: 4 });
    main.add("rect", { class: `rta-frame rta-keys ${roles[1]} ${locked}`, x: left + place * wide - 2, y: above - 2, width: wide + 3, height: below - above + 3, rx: 4 });
    if (wide < MATRIX.gap) return;
    main.add("rect", { class: "mark", x: left + place * wide - 0.5, y: above + index * tall - 0.5, width: wide, height: tall, rx: 3 });
  }

  function markLines() {
    const { rows, columns, layout: { x, y, above, pitch } } = view;
    const [row, column] = cursor();
    const [index, place] = [rows.indexOf(row), columns.indexOf(column)];
    paintLines();
    main.add("text", { class: "small rta-queries", x: x[0] - 10, y: above - 14, "text-anchor": "end", text: "queries" });
    main.add("text", { class: "small rta-keys", x: x[1] + 10, y: above - 14, text: "keys" });
    for (const number of labelled(rows.length, pitch[0], [index], MATRIX.label)) {
      label({ x: x[0] - 10, y: y(number, rows.length) + 5, "text-anchor": "end" }, "queries", rows[number], number === index);
    }
    for (const number of labelled(columns.length, pitch[1], [place], MATRIX.label)) {
      label({ x: x[1] + 10, y: y(number, columns.length) + 5 }, "keys", columns[number], number === place);
    }
    main.add("circle", { class: "rta-dot rta-queries", cx: x[0], cy: y(index, rows.length), r: 3.5 });
    main.add("circle", { class: "rta-dot rta-keys", cx: x[1], cy: y(place, columns.length), r: 3.5 });
  }

  // ------------------------------------------------------------ the chosen word
  const about = () => (view.head.exact ? "" : "≈ ");
  const word = (side, place, most = 200) => make("b", { class: `rta-${side}`, text: `'${wordOf(side, place, most)}'` });
  const places = (side, place) => (view.reading.twice[side].has(view.reading[side][place]) ? ` (${side === "queries" ? "row" : "column"} ${place})` : "");
  const nothing = (row) => view.columns.every((column) => !(at(row, column) > 0));
  const forbidden = (row) => view.reading.keys.every((_, column) => Number.isNaN(at(row, column)));

  function showSide() {
    const { rows, columns } = view;
    const [row, column] = cursor();
    const [side, others, value] = byKey() ? ["queries", rows, (place) => at(place, column)] : ["keys", columns, (place) => at(row, place)];
    sideTitle.replaceChildren(...(byKey() ? ["who looks at ", word("keys", column, 16)] : ["what ", word("queries", row, 16), " looks at"]));
    const sum = others.reduce((total, place) => total + (value(place) || 0), 0);
    let listed = others;
    if (others.length > LISTED) {
      listed = others.toSorted((one, other) => (value(other) || 0) - (value(one) || 0)).slice(0, LISTED).filter((place) => value(place) >= 0.005);
    }
    const now = byKey() ? row : column;
    bars.replaceChildren(...listed.flatMap((place) => {
      const share = value(place);
      const name = make(place === now ? "b" : "span", { class: place === now ? `rta-${side}` : "", text: wordOf(side, place, 10), title: wordOf(side, place, 200) });
      const masked = Number.isNaN(share);
      return [name,
        masked ? make("span", { class: "rta-note rta-masked-word", text: "masked" }) : make("div", { class: `rta-bar rta-${side}`, style: `width: ${within((100 * share) / top(), 0, 100)}%` }),
        make("span", { class: "rta-mono", text: masked ? "" : fixed(share, 2) })];
    }));
    const hidden = (byKey() ? view.reading.rows : view.reading.columns) - others.length;
    const largest = listed.length < others.length && listed.length ? `the ${listed.length > 1 ? `${listed.length} ` : ""}largest of ${others.length}; ` : "";
    const what = hidden ? " without the hidden tokens" : byKey() ? ": a column may have any sum" : "";
    sideNote.textContent = !byKey() && forbidden(row) ? "may look at nothing: all weights zero"
      : `${largest}${largest ? "all sum to" : "sum"} ${about()}${fixed(sum, 2)}${what}`;
  }

  function say() {
    const { reading, rows, columns } = view;
    const [row, column] = cursor();
    const value = at(row, column);
    const said = ["query ", word("queries", row), places("queries", row), " → key ", word("keys", column), places("keys", column), ": "];
    if (forbidden(row)) said.push("may look at nothing: all weights zero");
    else if (Number.isNaN(value)) said.push("masked: may not be looked at");
    else {
      said.push(make("span", { class: "rta-mono", text: `${about()}${fixed(value)}` }));
      const best = [strongest(columns, (place) => at(row, place)) === column ? "row" : "", strongest(rows, (place) => at(place, column)) === row ? "column" : ""];
      const where = best.filter(Boolean).join(" and ");
      if (where) said.push(`, largest in its ${where}`);
      else if (nothing(row)) said.push(", all weights of this row are zero");
    }
    if (reading.several) said.push(` · ${headName()}`);
    said.push(make("span", { class: "rta-note", text: lock() ? " · locked: Escape or a second click unlocks" : " · click or Enter locks" }));
    card.say(...said);
  }
  const headName = () => `layer ${get("layer") + 1} head ${get("head") + 1}`;

  function showNote() {
    const { reading } = view;
    const name = reading.names[get("layer")];
    const sums = reading.sums[get("layer")][get("head")];
    const hidden = view.columns.length < reading.columns && view.rows.some((row) => {
      const sum = (places) => places.reduce((total, place) => total + (at(row, place) || 0), 0);
      return sum(reading.keys.map((_, place) => place)) - sum(view.columns) > 1e-3;
    });
    const parts = [name === undefined ? "" : shortened(legible(name), 32), reading.several ? headName().replace(" head", " · head") : "",
      hidden ? "special tokens are left out, so rows sum to less than 1" : ["", "each row sums to 1, or is empty", "each row sums to 1"][sums]];
    card.note.textContent = parts.filter(Boolean).join(" · ");
  }

  function showOptions() {
    const { reading } = view;
    const found = [...new Set([...reading.queries, ...reading.keys])].filter((token) => special.has(token));
    const left = (tokens) => tokens.some((token) => !special.has(token));
    hide.hidden = found.length === 0;
    const names = found.slice(0, 2).map((token) => shortened(legible(token), 10)).join(" ");
    hide.put(`hide ${names}${found.length > 2 ? " …" : ""}`, !(left(reading.queries) && left(reading.keys)));
    hide.title = found.map((token) => shortened(legible(token), 20)).join(" ");
    stretch.put("each head’s own scale");
    stretch.title = "The darkest colour is the largest weight of the head, not of all heads";
  }

  /** The scale of the colours. Like all painting it waits until the card stands in the page and has colours. */
  function paintLegend() {
    legend.top.textContent = fixed(top(), 2);
    const theme = themeNow();
    const strip = legend.strip.getContext("2d");
    for (let x = 0; x < 96; x += 1) { strip.fillStyle = css(theme.weight(x / 95)); strip.fillRect(x, 0, 1, 1); }
    legend.masked.hidden = !view.reading.thumbnails.data.includes(MASKED);
    const box = legend.masked.querySelector("canvas").getContext("2d");
    box.clearRect(0, 0, 16, 12);
    box.fillStyle = box.createPattern(hatching(6), "repeat");
    box.fillRect(0, 0, 16, 12);
  }

  // ------------------------------------------------------------ moving
  /** Everything that a choice may change, thumbnails apart. */
  const show = guarded(card, () => {
    if (!view.reading) return;
    chooseForm.choose(get("form"));
    chooseDirection.choose(get("direction"));
    showOptions();
    main.redraw();
    follow();
  });

  /** What follows the cursor: side list and read-out. */
  function follow() {
    showSide();
    showNote();
    say();
  }
  const point = guarded(card, () => { mark(); follow(); });

  function takeHead() {
    const { reading, head } = view;
    const [layer, number] = [get("layer"), get("head")];
    if (head.exact && head.layer === layer && head.head === number) return;
    view.head = readHead(reading, get("shown"), layer, number);
    frameHead();
    show();
  }

  function take() {
    view.reading = readMaps(get("maps"));
    const { reading } = view;
    view.hover = null;
    findVisible();
    if (view.rows.length === 0 || view.columns.length === 0) {        // saved with another sentence
      [view.rows, view.columns] = [reading.queries.map((_, place) => place), reading.keys.map((_, place) => place)];
    }
    takeStack();
    view.head = readHead(reading, get("shown"), get("layer"), get("head"));
    view.rest = [firstWord(), null];
    setSolo(view.solo);
    show();
    // After the first paint the colours of all heads are asked for, once for all views.
    if (!reading.all) requestAnimationFrame(() => setTimeout(() => put({ wanted: reading.id }), 0));
  }

  function takeStack() {
    const stack = get("stack");
    if (stack.id === view.reading.id) view.reading.all = decode(stack.colours).data;
  }

  /** The cell under the pointer as [row, column]; a label gives one of them and null. Null outside. */
  function cellAt(event) {
    const box = main.stage.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const { rows, columns, layout: own } = view;
    if (own.form === "lines") {
      if (py < own.above || py > own.below) return null;
      const middle = (own.x[0] + own.x[1]) / 2;
      const [places, side] = px < middle ? [rows, 0] : [columns, 1];
      const place = places[within(Math.floor((py - own.above) / own.pitch[side]), 0, places.length - 1)];
      return side === 0 ? [place, null] : [null, place];
    }
    const [column, row] = [Math.floor((px - own.left) / own.wide), Math.floor((py - own.above) / own.tall)];
    if (column >= columns.length || row >= rows.length || (column < 0 && row < 0)) return null;
    return [row < 0 ? null : rows[row], column < 0 ? null : columns[column]];
  }

  const same = (one, other) => one !== null && other !== null && one[0] === other[0] && one[1] === other[1];
  const setLock = (cell) => put({ query: cell?.[0] ?? null, key: cell?.[1] ?? null });
  main.stage.addEventListener("pointermove", (event) => {
    if (lock()) return;
    const cell = cellAt(event);
    if (cell === null ? view.hover === null : same(cell, view.hover)) return;
    if (cell) view.rest = cell;
    view.hover = cell;
    point();
  });
  main.stage.addEventListener("pointerleave", () => { if (view.hover) { view.hover = null; point(); } });
  main.stage.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    view.rest = cell;
    setLock(same(cell, lock()) ? null : cell);
  });
  for (const name of ["focus", "blur"]) main.stage.addEventListener(name, () => { if (get("form") === "lines") point(); });
  roving(main.stage, {
    size: () => [view.rows.length, view.columns.length],
    get: () => { const [row, column] = cursor(); return [view.rows.indexOf(row), view.columns.indexOf(column)]; },
    move: (row, column) => {
      view.hover = null;
      view.rest = [view.rows[row], view.columns[column]];
      if (lock()) setLock(view.rest);
      else point();
    },
    enter: () => setLock(lock() ? null : cursor()),
  });
  main.stage.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !lock()) return;
    view.rest = cursor();
    setLock(null);
    event.preventDefault();
    event.stopPropagation();
  });

  // ------------------------------------------------------------ what Python sends
  // With a new sentence everything changes at once, in no order: what comes before the maps waits for them.
  const heard = (names, listener) => {
    for (const name of names) model.on(`change:${name}`, guarded(card, () => { if (get("maps").id === view.reading?.id) listener(); }));
  };
  model.on("change:maps", guarded(card, take));
  heard(["stack"], () => { takeStack(); takeHead(); });
  heard(["shown", "layer", "head"], takeHead);
  heard(["query", "key"], point);
  heard(["form", "direction", "numbers"], show);
  heard(["hide"], () => { findVisible(); show(); });
  heard(["stretch"], () => { show(); paintThumbs(); });
  card.root.numbers = () => {
    const { reading, head } = view;
    const [row, column] = cursor();
    return { text: get("text"), layer: get("layer"), head: get("head"), row, column, locked: lock(), solo: view.solo, exact: head.exact,
      rows: view.rows, columns: view.columns, shape: [reading.rows, reading.columns], whole: reading.all !== null,
      weights: Array.from(head.values, (value) => (Number.isNaN(value) ? null : value)), layout: view.layout };
  };
  guarded(card, take)();
}

export default { render };
