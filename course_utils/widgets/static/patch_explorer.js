// PatchExplorer: an image as a sequence of patches. A click is answered here: all weights were sent with the image.

const FUSIONS = ["mean", "max", "min"];
const LARGEST_FILE = 8_000_000;                          // bytes: the connection to the kernel carries no more in one piece
const CARD = { high: 590, around: 168, side: 292, narrow: 828 };       // pixels: of the card, of all in it that is no picture, beside the pictures
const PICTURE = { largest: 312, smallest: 180, between: 24, above: 24 };
const STRIP = { largest: 44, smallest: 12, labelled: 22, gap: 3, bar: 18, label: 15, between: 6, high: 140 };
const NUMBERED = 34;                                     // pixels of a patch that has room for its number, or its weight
const SEEN = 0.4;                                        // how much of the image shows through the map
const TOLD = 3;                                          // patches that the read-out names

/** Which patch stands at each place: a permutation that only depends on count and seed. Python has the same function. */
function shuffledOrder(count, seed) {
  const order = Array.from({ length: count }, (_, place) => place);
  let state = seed;
  for (let step = -4; seed !== 0 && step < count - 1; step += 1) {      // the first numbers of neighbouring seeds are alike
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    if (step < 0) continue;
    const last = count - 1 - step;
    const other = Math.floor((state * (last + 1)) / 2 ** 32);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** The offered size that is nearest to the wanted one, by their ratio; the smaller of two. */
function nearestSize(sizes, wanted) {
  const far = (size) => Math.abs(Math.log(size / wanted));
  return sizes.reduce((best, size) => (far(size) < far(best) - 1e-9 ? size : best));
}

// ---------------------------------------------------------------- what Python sent

/** Pixels as two canvases: the image, and what of it shows through a map: light where it is lighter than on average. */
function canvasesOf({ shape: [high, wide, channels], data }) {
  const [image, relief] = [new ImageData(wide, high), new ImageData(wide, high)];
  const colourAt = (place) => (channels === 1 ? [data[place], data[place], data[place]] : data.subarray(3 * place, 3 * place + 3));
  const light = Float64Array.from({ length: high * wide }, (_, place) => {
    const [red, green, blue] = colourAt(place);
    return 0.299 * red + 0.587 * green + 0.114 * blue;
  });
  const mean = light.reduce((sum, value) => sum + value, 0) / light.length;
  light.forEach((value, place) => {
    image.data.set([...colourAt(place), 255], 4 * place);
    const shade = value > mean ? 255 : 0;
    relief.data.set([shade, shade, shade, SEEN * Math.abs(value - mean)], 4 * place);
  });
  return [image, relief].map((pixels) => {
    const canvas = new OffscreenCanvas(wide, high);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  });
}

/** An image cut into patches of that many pixels, from its middle. */
function cutImage(pixels, size) {
  const [side, , channels] = pixels.shape;
  const grid = Math.floor(side / size);
  const start = Math.floor((side - grid * size) / 2);
  return { size, grid, count: grid * grid, start, side, channels, rest: side - grid * size,
    corner: (patch) => [start + (patch % grid) * size, start + Math.floor(patch / grid) * size] };
}

/** Every patch as a vector from the image's mean colour, and the vectors' lengths: rows of count × numbers. */
function patchVectors({ data }, { size, count, side, channels, corner }) {
  const length = size * size * channels;
  const vectors = new Float64Array(count * length);
  const mean = new Float64Array(channels);
  for (let patch = 0; patch < count; patch += 1) {
    const [left, top] = corner(patch);
    for (let row = 0; row < size; row += 1) {
      const from = ((top + row) * side + left) * channels;
      for (let place = 0; place < size * channels; place += 1) {
        vectors[patch * length + row * size * channels + place] = data[from + place];
        mean[place % channels] += data[from + place];
      }
    }
  }
  mean.forEach((sum, channel) => { mean[channel] = sum / (count * size * size); });
  const lengths = new Float64Array(count);
  for (let place = 0; place < vectors.length; place += 1) {
    vectors[place] -= mean[place % channels];
    lengths[Math.floor(place / length)] += vectors[place] ** 2;
  }
  return { vectors, length, lengths: lengths.map(Math.sqrt) };
}

/** Cosine similarity of one patch with each; NaN where one of them has no direction. */
function likeness({ vectors, length, lengths }, patch) {
  return Float64Array.from(lengths, (own, other) => {
    if (own < 1e-9 || lengths[patch] < 1e-9) return NaN;
    let sum = 0;
    for (let place = 0; place < length; place += 1) sum += vectors[patch * length + place] * vectors[other * length + place];
    return sum / (own * lengths[patch]);
  });
}

/** Packed weights (…, T, T) as a function from a row's number, counted over all maps, to its numbers. */
function rowsOf({ weights, largest }) {
  const { shape, data } = decode(weights);
  const tokens = shape.at(-1);
  const scale = largest === undefined ? null : decode(largest).data;
  return { shape, row: (number) => {
    const row = Float64Array.from(data.subarray(number * tokens, (number + 1) * tokens));
    return scale === null ? row : row.map((code) => (code * scale[number]) / 255);
  } };
}

function readReading(reading) {
  return { ...reading, attention: rowsOf(reading.attention), rollouts: rowsOf(reading.rollouts), exact: reading.attention.largest === undefined };
}

// ---------------------------------------------------------------- the widget

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "patch-explorer", title: "Image patches" });
  const get = (name) => model.get(name);
  const put = (changes) => { model.set(changes); model.save_changes(); };
  const { layers = 0, heads = 0 } = get("sizes");
  const reads = layers > 0;
  const themeNow = followTheme(card.root, () => { paintAll(); }, signal);
  // image, seed: what is drawn; picture: the image, its canvases and patches; reading: what the model says about it;
  // values: the shown row, the class token first where there is one; top: the value with the darkest colour; hover: the
  // token under the pointer, or null; last: the seed of the last shuffle.
  const view = { image: -1, seed: -1, picture: null, reading: null, values: [], top: 1, order: [], hover: null, strip: null, layout: null, last: 0 };
  const known = new Map();                               // readings and pictures, by image, seed and upload
  const uploads = () => get("uploaded").id ?? 0;
  const sentPictures = () => (uploads() ? [...get("pictures"), get("uploaded")] : get("pictures"));
  const keyOf = (image, ...rest) => [image, image < get("pictures").length ? 0 : uploads(), ...rest].join(":");

  // ------------------------------------------------------------ asking
  const asker = makeAsker({
    model, signal, busy: card.busy,
    failed: (message) => { card.fail(message); if (message) showControls(); },
    answered: guarded(card, (answer) => {
      if (answer.upload !== uploads() && answer.image >= get("pictures").length) return;
      if (answer.reading) known.set(`reading:${keyOf(answer.image, answer.seed)}`, readReading(answer.reading));
      if (answer.image !== get("image") || answer.seed !== get("seed")) put({ image: answer.image, seed: answer.seed });
      show();
    }),
  });

  /** What the model says about an image in that order, if it has come. */
  function readingOf(image, seed) {
    const key = `reading:${keyOf(image, seed)}`;
    if (!known.has(key)) {
      const answer = get("answer");
      const sent = seed === 0 ? sentPictures()[image]?.reading
        : answer.image === image && answer.seed === seed && (image < get("pictures").length || answer.upload === uploads()) ? answer.reading : null;
      if (!sent) return null;
      known.set(key, readReading(sent));
    }
    return known.get(key);
  }

  /** Another image or order: at once where nothing is missing, else when the kernel has answered. */
  function go(image, seed) {
    card.fail("");
    if (!reads || readingOf(image, seed)) { put({ image, seed }); show(); } else asker.ask({ image, seed }, true);
  }

  async function upload(file) {
    if (file.size > LARGEST_FILE) {
      card.fail(`The file ${sentenceText(file.name, 40)} has ${(file.size / 1e6).toFixed(1)} MB: ${LARGEST_FILE / 1e6} MB is the most.`);
      return;
    }
    try {
      const bytes = await file.arrayBuffer();            // fails for a folder, and where the file has gone
      model.send({ kind: "file" }, undefined, [bytes]);  // a message of its own: no saved notebook holds it
      asker.ask({ file: file.name }, true);
    } catch (error) {
      card.fail(`The file ${sentenceText(file.name, 40)} cannot be read: ${error.message}`);
    }
  }

  // ------------------------------------------------------------ controls
  const button = (text, click, title) => make("button", { type: "button", class: "rta-button", text, title, on: { click } });
  const choose = (label, changed) => {
    const select = make("select", { "aria-label": label, on: { change: () => changed(Number(select.value)) } });
    select.fill = (options, value) => {
      const texts = JSON.stringify(options);
      if (select.dataset.options !== texts) {
        select.dataset.options = texts;
        select.replaceChildren(...options.map(([number, text]) => make("option", { value: number, text })));
      }
      select.value = String(value);
    };
    return select;
  };
  const chooseImage = choose("Image", (image) => go(image, 0));
  const chooseSize = choose("Patch size", (size) => { put({ patch_size: size, seed: 0, token: reads ? get("token") : 1 }); show(); });
  const file = make("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Your own image", on: { change: () => {
    const [chosen] = file.files;
    file.value = "";
    if (chosen) upload(chosen);
  } } });
  const own = button("Your image …", () => file.click(), "Open an image file of your own: it stays on this machine");
  const shuffle = button("Shuffle", () => go(view.image, nextSeed()), "Exchange the places of the patches; every press gives another order");
  const back = button("Put back", () => go(view.image, 0), "Every patch at its own place again");
  card.controls.append(chooseImage, file, own, shuffle, back);

  /** The next seed that gives another order than the present one, and than the first. */
  function nextSeed() {
    const written = (seed) => String(shuffledOrder(view.picture.cut.count, seed));
    const known = [written(0), written(view.seed)];
    do view.last = (Math.max(view.last, view.seed) % 1e9) + 1; while (known.includes(written(view.last)));
    return view.last;
  }

  const chooseShow = makeSwitch("What a click shows", [["attention", "attention"], ["rollout", "rollout"], ["pixels", "pixels"]], get("show"),
    (value) => { put({ show: value }); show(); });
  const chooseLayer = choose("Layer", (layer) => { put({ layer }); show(); });
  const chooseHead = choose("Head", (head) => { put({ head }); show(); });
  const chooseFusion = makeSwitch("Heads are fused by", FUSIONS.map((fusion) => [fusion, fusion]), get("fusion"),
    (fusion) => { put({ fusion }); show(); });
  const classToken = make("button", { type: "button", class: "rta-button", text: "class token", on: { click: () => pick(0) } });
  const settings = {
    attention: make("div", { class: "rta-pe-settings" }, make("label", {}, "layer ", chooseLayer), make("label", {}, "head ", chooseHead)),
    rollout: make("div", { class: "rta-pe-settings" }, "heads fused by", chooseFusion),
    pixels: make("div", { class: "rta-pe-settings rta-note", text: "how much the pixels are alike: no model is needed" }),
  };

  // ------------------------------------------------------------ layout
  const facts = make("div", { class: "rta-pe-facts" });
  const says = make("div", { class: "rta-pe-says" });
  const zoom = make("div", { class: "rta-pe-zoom" });
  const ramp = { strip: make("canvas", { width: 96, height: 1, "aria-hidden": "true" }), low: make("span", { class: "rta-mono" }),
    high: make("span", { class: "rta-mono" }), what: make("span", {}) };
  const legend = make("div", { class: "rta-ramp rta-pe-ramp", role: "img", "aria-label": "The colours of the map" }, ramp.low, ramp.strip, ramp.high, ramp.what);
  const side = make("div", { class: "rta-pe-side" },
    ...(reads ? [make("div", { class: "rta-pe-settings" }, chooseShow, classToken), settings.attention, settings.rollout, settings.pixels]
      : [make("div", { class: "rta-pe-settings" }, make("label", {}, "patch size ", chooseSize))]),
    facts, reads ? says : zoom, legend);
  const mainBox = make("div", {});
  const stripBox = make("div", { class: "rta-pe-strip" });
  const stripTitle = make("div", { class: "rta-pe-title" });
  card.body.append(make("div", { class: "rta-pe" }, mainBox, side), stripTitle, stripBox);
  const main = makeStage(mainBox, { label: "The image in patches: arrow keys choose a patch", paint: guarded(card, paintMain), signal });
  const strip = makeStage(stripBox, { label: "The sequence: arrow keys read a token, Enter chooses it", paint: guarded(card, paintStrip), signal });
  for (const stage of [main, strip]) stage.svg.style.pointerEvents = "none";

  // ------------------------------------------------------------ tokens
  // A token is a place in the sequence: 0 is the class token, 1 … count are the places of patches.
  const first = reads ? 0 : 1;
  const token = () => within(get("token"), get("show") === "pixels" ? 1 : first, view.picture.cut.count);
  const patchAt = (place) => view.order[place - 1];
  const valueOf = (place) => (view.values.length > view.picture.cut.count ? view.values[place] : place === 0 ? NaN : view.values[place - 1]);
  const hasClass = () => view.values.length > view.picture.cut.count;
  const nameOf = (place) => (place === 0 ? "the class token" : `patch ${patchAt(place) + 1}`);
  const whereIs = (place) => {
    if (place === 0) return "";
    const { grid } = view.picture.cut;
    return ` (${view.seed && patchAt(place) !== place - 1 ? "now " : ""}row ${Math.floor((place - 1) / grid) + 1}, column ${((place - 1) % grid) + 1})`;
  };

  function pick(place) {
    if (place === 0 && get("show") === "pixels") return;
    view.hover = null;
    if (place !== get("token")) put({ token: place });
    follow();
  }

  // ------------------------------------------------------------ the numbers
  function pictureOf(image, size) {
    const key = `picture:${keyOf(image)}`;
    if (!known.has(key)) {
      const pixels = decode(sentPictures()[image].pixels);
      const [colour, relief] = canvasesOf(pixels);
      known.set(key, { pixels, colour, relief });
    }
    const picture = known.get(key);
    if (view.picture?.pixels === picture.pixels && view.picture.cut.size === size) return view.picture;
    return { ...picture, cut: cutImage(picture.pixels, size), vectors: null };
  }

  function findValues() {
    const { picture, reading } = view;
    const [now, tokens] = [token(), picture.cut.count + 1];
    if (get("show") === "pixels" || !reading) {
      picture.vectors ??= patchVectors(picture.pixels, picture.cut);
      const alike = likeness(picture.vectors, patchAt(now));
      view.values = Float64Array.from(view.order, (patch) => alike[patch]);
    } else if (get("show") === "rollout") {
      view.values = reading.rollouts.row(FUSIONS.indexOf(get("fusion")) * tokens + now);
    } else {
      const chosen = get("head") < 0 ? Array.from({ length: heads }, (_, head) => head) : [get("head")];
      const rows = chosen.map((head) => reading.attention.row((get("layer") * heads + head) * tokens + now));
      view.values = rows[0].map((_, place) => rows.reduce((sum, row) => sum + row[place], 0) / rows.length);
    }
    view.top = topOf(now);
  }

  /** The value with the darkest colour: the largest of another patch; alike weights are no loud ones. */
  function topOf(now) {
    if (get("show") === "pixels" || !view.reading) return 1;
    const others = view.order.map((_, place) => place + 1).filter((place) => place !== now).map(valueOf);
    if (!others.length) return Math.max(valueOf(1), 1e-9);
    return Math.max(...others, (2 * others.reduce((sum, value) => sum + value, 0)) / others.length, 1e-9);
  }
  const signed = () => !hasClass();
  const colourOf = (theme, value) => (signed() ? theme.signed(value) : theme.weight(value / view.top));

  // ------------------------------------------------------------ painting
  /** How large the two pictures can be: the strip below takes what it needs first. What is left is the side's. */
  function fitMain() {
    const width = card.body.clientWidth;
    const wide = width > CARD.narrow ? width - CARD.side - 24 : width;
    const high = within(CARD.high - CARD.around - stripLayout(width).high, PICTURE.smallest, PICTURE.largest);
    const { grid } = view.picture.cut;
    const pitch = Math.max(4, Math.floor(Math.min((wide - PICTURE.between) / 2, high) / grid));       // whole pixels: all gaps alike
    const size = pitch * grid;
    view.layout = { size, pitch, gap: within(Math.round(pitch * 0.06), 1, 5), above: PICTURE.above, left: [0, size + PICTURE.between], width: 2 * size + PICTURE.between };
    mainBox.style.width = `${view.layout.width}px`;
  }

  /** Draw one patch of the image; large pixels stay sharp. */
  function drawPatch(context, canvas, patch, x, y, size) {
    const { cut } = view.picture;
    const [left, top] = cut.corner(patch);
    context.imageSmoothingEnabled = size < 2 * cut.size;
    context.imageSmoothingQuality = "high";
    context.drawImage(canvas, left, top, cut.size, cut.size, x, y, size, size);
  }

  function paintMain() {
    if (!view.layout) return;
    const { picture: { cut, colour, relief }, layout: { size, pitch, gap, above, left, width } } = view;
    const context = main.clear(width, above + size + 3);
    const theme = themeNow();
    for (let place = 1; place <= cut.count; place += 1) {
      const [x, y] = [((place - 1) % cut.grid) * pitch + gap / 2, above + Math.floor((place - 1) / cut.grid) * pitch + gap / 2];
      const value = valueOf(place);
      drawPatch(context, colour, patchAt(place), left[0] + x, y, pitch - gap);
      if (Number.isNaN(value)) {
        hatch(context, theme.mask, left[1] + x, y, pitch - gap, pitch - gap);
        continue;
      }
      context.fillStyle = css(colourOf(theme, value));
      context.fillRect(left[1] + x, y, pitch - gap, pitch - gap);
      drawPatch(context, relief, patchAt(place), left[1] + x, y, pitch - gap);
    }
    markMain();
    paintLegend();
  }

  /** Text on a patch, on a plate of the page's colour: readable on every image. */
  function plate(stage, x, y, text, strong) {
    const wide = 7.2 * text.length + 6;
    stage.add("rect", { class: "rta-pe-plate", x, y, width: wide, height: 16, rx: 3 });
    stage.add("text", { class: `small ${strong ? "strong" : ""}`, x: x + wide / 2, y: y + 12.5, "text-anchor": "middle", text });
  }

  function frameAt(stage, kind, x, y, size) {
    stage.add("rect", { class: "rta-pe-halo", x, y, width: size, height: size, rx: 3 });
    stage.add("rect", { class: `rta-frame ${kind}`, x, y, width: size, height: size, rx: 3 });
  }

  /** Everything over the pictures that moves with the pointer: frames, numbers, titles. */
  function markMain() {
    const { picture: { cut }, layout: { pitch, gap, above, left } } = view;
    const [now, theme] = [token(), themeNow()];
    main.svg.replaceChildren();
    main.add("text", { class: "strong", x: left[0], y: 14, text: `${cut.grid} × ${cut.grid} patches${view.seed ? ", shuffled" : ""}` });
    main.add("text", { class: "strong", x: left[1], y: 14, text: titleOf(now) });
    const corner = (place) => [((place - 1) % cut.grid) * pitch + gap / 2, above + Math.floor((place - 1) / cut.grid) * pitch + gap / 2];
    const shown = new Set([now, view.hover]);
    for (let place = 1; place <= cut.count; place += 1) {
      const [x, y] = corner(place);
      if (pitch >= NUMBERED) {
        plate(main, left[0] + x + 2, y + 2, String(patchAt(place) + 1), shown.has(place));
        const value = valueOf(place);
        if (!Number.isNaN(value)) {
          const ground = colourOf(theme, value);
          main.add("text", { class: "small rta-pe-number", x: left[1] + x + (pitch - gap) / 2, y: y + (pitch - gap) / 2 + 4.5, "text-anchor": "middle",
            text: fixed(value, 2), style: `fill: ${textOn(ground)}; stroke: ${css(ground)}` });
        }
      }
    }
    for (const [place, kind] of [[view.hover, "rta-keys dashed"], [now, "rta-queries rta-locked"]]) {
      if (!place) continue;
      const [x, y] = corner(place);
      for (const start of left) frameAt(main, kind, start + x - 0.5, y - 0.5, pitch - gap + 1);
      if (pitch < NUMBERED) {
        const text = String(patchAt(place) + 1);
        plate(main, left[0] + within(x, 0, cut.grid * pitch - 7.2 * text.length - 6), y >= above + 18 ? y - 18 : y + pitch + 1, text, true);
      }
    }
    main.stage.dataset.token = now;
  }

  function titleOf(now) {
    if (get("show") === "pixels" || !reads) return `pixels like ${nameOf(now)}`;
    return get("show") === "rollout" ? `rollout of ${nameOf(now)}` : `what ${nameOf(now)} looks at`;
  }

  // ------------------------------------------------------------ the sequence
  function stripLayout(width) {
    const tokens = view.picture.cut.count + (reads ? 1 : 0);
    for (let size = STRIP.largest; ; size -= 1) {
      const label = size >= STRIP.labelled ? STRIP.label : 0;
      const bar = size >= STRIP.labelled ? STRIP.bar : STRIP.bar - 7;
      const columns = Math.max(1, Math.floor((width + STRIP.gap) / (size + STRIP.gap)));
      const rows = Math.ceil(tokens / columns);
      const pitch = bar + size + label + STRIP.between;
      if (rows * pitch <= STRIP.high || size <= STRIP.smallest) return { size, label, bar, columns, rows, pitch, tokens, high: rows * pitch };
    }
  }

  const stripCorner = (place) => {
    const { size, columns, pitch, bar } = view.strip;
    const number = place - first;
    return [(number % columns) * (size + STRIP.gap), Math.floor(number / columns) * pitch + bar];
  };

  function paintStrip(width) {
    if (!view.picture) return;
    fitMain();                                           // the pictures leave the strip its room; their first painting follows
    main.redraw();
    view.strip = stripLayout(width);
    const { size, high, bar, tokens } = view.strip;
    const context = strip.clear(width, high);
    const style = getComputedStyle(card.root);
    const [key, below, above, line] = ["key", "negative", "positive", "line"].map((name) => style.getPropertyValue(`--rta-${name}`));
    const theme = themeNow();
    for (let place = first; place < first + tokens; place += 1) {
      const [x, y] = stripCorner(place);
      if (place > 0) drawPatch(context, view.picture.colour, patchAt(place), x, y, size);
      const value = valueOf(place);
      const room = bar - 3;
      context.fillStyle = line;
      if (signed()) context.fillRect(x, y - 2 - room / 2, size, 1);
      else context.fillRect(x, y - 3, size, 1);
      if (Number.isNaN(value)) {
        if (place > 0) hatch(context, theme.mask, x, y - 2 - room, size, room);
        continue;
      }
      const share = within(Math.abs(value) / view.top, 0, 1) * (signed() ? room / 2 : room);
      context.fillStyle = signed() ? (value < 0 ? below : above) : key;
      if (signed()) context.fillRect(x, y - 2 - room / 2 - (value < 0 ? 0 : share), size, share);
      else context.fillRect(x, y - 2 - share, size, share);
      if (!signed() && value > view.top * 1.001) context.clearRect(x, y - 2 - room + 3, size, 2);       // cut off
    }
    markStrip();
  }

  function markStrip() {
    const { size, label, tokens } = view.strip;
    const now = token();
    strip.svg.replaceChildren();
    if (reads) {
      const [x, y] = stripCorner(0);
      strip.add("rect", { class: "rta-pe-class", x: x + 0.5, y: y + 0.5, width: size - 1, height: size - 1, rx: 3 });
      strip.add("text", { class: "small", x: x + size / 2, y: y + size / 2 + 4.5, "text-anchor": "middle", text: size >= 30 ? "CLS" : "C" });
    }
    for (let place = first; label > 0 && place < first + tokens; place += 1) {
      if (place === 0) continue;
      const [x, y] = stripCorner(place);
      strip.add("text", { class: `small ${place === now ? "strong rta-queries" : place === view.hover ? "strong rta-keys" : "dim"}`,
        x: x + size / 2, y: y + size + 13, "text-anchor": "middle", text: String(patchAt(place) + 1) });
    }
    for (const [place, kind] of [[view.hover, "rta-keys dashed"], [now, "rta-queries rta-locked"]]) {
      if (place === null) continue;
      const [x, y] = stripCorner(place);
      frameAt(strip, kind, x - 0.5, y - 0.5, size + 1);
      if (label === 0 && place > 0) {
        const text = String(patchAt(place) + 1);
        plate(strip, within(x + size / 2 - 3.6 * text.length - 3, 0, Math.max(0, strip.stage.clientWidth - 30)), y - 19, text, true);
      }
    }
    strip.stage.dataset.hover = view.hover ?? "";
  }

  // ------------------------------------------------------------ the side
  function showControls() {
    const pictures = sentPictures();
    chooseImage.fill(pictures.map(({ name }, number) => [number, sentenceText(name, 32)]), view.image);
    chooseImage.title = sentenceText(pictures[view.image].name, 200);
    const sizes = pictures[view.image].sizes;
    chooseSize.fill(sizes.map((size) => [size, `${size} × ${size} pixels`]), view.picture.cut.size);
    shuffle.disabled = view.picture.cut.count < 2;
    back.disabled = view.seed === 0;
    if (!reads) return;
    chooseShow.choose(get("show"));
    chooseFusion.choose(get("fusion"));
    chooseLayer.fill(Array.from({ length: layers }, (_, layer) => [layer, `${layer + 1} of ${layers}`]), get("layer"));
    chooseHead.fill([[-1, "mean of all"], ...Array.from({ length: heads }, (_, head) => [head, `${head + 1} of ${heads}`])], get("head"));
    for (const [name, box] of Object.entries(settings)) box.hidden = name !== get("show");
    classToken.disabled = get("show") === "pixels";
  }

  function showNote() {
    const { note } = sentPictures()[view.image];
    const { cut } = view.picture;
    const parts = [note, cut.rest ? `${cut.rest} ${cut.rest === 1 ? "pixel" : "pixels"} of each side left out, so that patches fit` : ""];
    card.note.textContent = parts.filter(Boolean).join("; ");
  }

  function showFacts() {
    const { cut } = view.picture;
    const numbers = cut.size * cut.size * cut.channels;
    facts.replaceChildren(
      make("div", {}, make("b", { text: `${cut.count} ${cut.count === 1 ? "patch" : "patches"}` }), reads ? " and a class token: a sequence of " : ": a sequence of ",
        make("b", { text: String(cut.count + (reads ? 1 : 0)) })),
      make("div", { class: "rta-note", text: `each patch: ${cut.size} · ${cut.size} · ${cut.channels} = ${numbers.toLocaleString("en-US")} ${numbers === 1 ? "number" : "numbers"}` }));
    stripTitle.replaceChildren(make("b", { text: "The same as a sequence" }), make("span", { class: "rta-note",
      text: view.seed ? " numbers tell where a patch came from" : reads ? " the class token first, then row by row" : " row by row" }));
  }

  function sayList(said, label) {
    return make("div", { class: "rta-bars" }, ...said.flatMap(([name, probability]) => {
      const right = label !== null && name === label;
      return [make(right ? "b" : "span", { text: `${right ? "✓ " : ""}${sentenceText(name, 14)}`, title: sentenceText(name, 200) }),
        make("div", { class: right ? "rta-bar rta-marked" : "rta-bar", style: `width: ${100 * probability}%` }),
        make("span", { class: "rta-mono", text: fixed(probability, 2) })];
    }));
  }

  function showSays() {
    const { reading } = view;
    const { label } = sentPictures()[view.image];
    const column = (title, models) => make("div", {}, make("div", { class: "rta-caption", text: title }), ...models.map(([name, said]) =>
      make("div", { class: "rta-pe-said" }, make("div", { class: "rta-note", text: name }), sayList(said, label))));
    const pair = (said, without) => [[reading.without.length ? "with positions" : "the model says", said], ...(without.length ? [["without positions", without]] : [])];
    says.replaceChildren(
      make("div", { class: "rta-pe-true" }, ...(label === null ? [make("span", { class: "rta-note", text: "the class of this image is not given" })]
        : ["true class ", make("b", { text: sentenceText(label, 30) })])),
      column("in order", pair(reading.before, reading.before_without)),
      view.seed ? column("shuffled", pair(reading.says, reading.without))
        : make("div", {}, make("div", { class: "rta-caption", text: "shuffled" }), make("div", { class: "rta-note", text: "Press Shuffle: what do you expect?" })));
  }

  /** The clicked patch and the one it is compared with, large. */
  function showZoom() {
    const now = token();
    const others = view.order.map((_, place) => place + 1).filter((place) => place !== now && !Number.isNaN(valueOf(place)));
    const best = others.reduce((most, place) => (most === null || valueOf(place) > valueOf(most) ? place : most), null);
    const other = view.hover ?? best;
    const shown = (place, kind, text) => {
      const canvas = make("canvas", { class: kind, width: 112, height: 112, "aria-hidden": "true" });
      drawPatch(canvas.getContext("2d"), view.picture.colour, patchAt(place), 0, 0, 112);
      return make("div", {}, canvas, make("div", {}, make("b", { text: nameOf(place) })), make("div", { class: "rta-note", text }));
    };
    zoom.replaceChildren(shown(now, "rta-queries", "clicked"),
      ...(other === null ? [] : [shown(other, "rta-keys", `${view.hover === null ? "most alike: " : ""}${Number.isNaN(valueOf(other)) ? "no direction" : fixed(valueOf(other))}`)]));
  }

  function paintLegend() {
    const theme = themeNow();
    const context = ramp.strip.getContext("2d");
    for (let x = 0; x < 96; x += 1) {
      context.fillStyle = css(signed() ? theme.signed(x / 47.5 - 1) : theme.weight(x / 95));
      context.fillRect(x, 0, 1, 1);
    }
    ramp.low.textContent = signed() ? "−1" : "0";
    ramp.high.textContent = signed() ? "1" : fixed(view.top, view.top < 0.1 ? 3 : 2);
    ramp.what.textContent = signed() ? "cosine of the pixels, mean colour taken off" : "the largest of the other patches";
  }

  // ------------------------------------------------------------ reading out
  function say() {
    const now = token();
    const query = [make("b", { class: "rta-queries", text: nameOf(now) }), whereIs(now)];
    const number = (value) => (Number.isNaN(value) ? "no direction, so no cosine" : make("span", { class: "rta-mono", text: fixed(value) }));
    if (view.hover !== null && view.hover !== now) {
      const own = view.hover;
      card.say(...query, " → ", make("b", { class: "rta-keys", text: nameOf(own) }), whereIs(own), ": ", number(valueOf(own)));
      return;
    }
    const places = Array.from({ length: view.picture.cut.count + (hasClass() ? 1 : 0) }, (_, place) => place + (hasClass() ? 0 : 1));
    const ranked = places.filter((place) => !Number.isNaN(valueOf(place)) && (!signed() || place !== now)).sort((one, other) => valueOf(other) - valueOf(one));
    if (!ranked.length) { card.say(...query, places.length > 1 ? ": no direction to compare, all its pixels have the mean colour" : ": there is no other patch"); return; }
    const verb = signed() ? " is most like " : get("show") === "rollout" ? " gets most from " : " looks most at ";
    const told = ranked.slice(0, TOLD).flatMap((place, index) => [index ? ", " : "", make("b", { class: "rta-keys", text: place === now ? "itself" : nameOf(place) }), " ", number(valueOf(place))]);
    card.say(...query, verb, ...told);
  }

  // ------------------------------------------------------------ showing
  /** What a click changes: the map, the bars, the marks, the read-out. */
  const follow = guarded(card, () => {
    if (!view.picture) return;
    findValues();
    classToken.setAttribute("aria-pressed", String(token() === 0));
    paintAll();
    showSide();
    say();
  });

  function showSide() {
    if (!reads) showZoom();
  }

  const paintAll = guarded(card, () => {
    if (!view.picture || !card.root.isConnected) return;
    strip.redraw();
  });

  /** What the pointer changes: frames and read-out. */
  const point = guarded(card, () => {
    if (!view.layout || !view.strip) return;
    markMain();
    markStrip();
    showSide();
    say();
  });

  /** Show what the traits say, as far as it has come; the kernel is asked for what is missing. */
  const show = guarded(card, () => {
    const [image, seed] = [get("image"), get("seed")];
    const sent = sentPictures()[image];
    if (!sent) return;
    const reading = reads ? readingOf(image, seed) : null;
    if (reads && !reading) {
      asker.ask({ image, seed }, true);
      if (view.picture) return;                          // the last good picture stays
    }
    const fresh = view.image !== image || view.seed !== seed;
    Object.assign(view, { image, seed, reading });
    view.picture = pictureOf(image, nearestSize(sent.sizes, get("patch_size")));
    view.order = shuffledOrder(view.picture.cut.count, seed);
    if (fresh) view.hover = null;
    view.hover = view.hover === null ? null : Math.min(view.hover, view.picture.cut.count);
    showControls();
    showNote();
    showFacts();
    if (reading) showSays();
    follow();
  });

  // ------------------------------------------------------------ moving
  function mainAt(event) {
    const box = main.stage.getBoundingClientRect();
    const { pitch, above, left, size } = view.layout;
    const { grid } = view.picture.cut;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top - above];
    const start = left.find((edge) => x >= edge && x < edge + size);
    if (start === undefined || y < 0 || y >= size) return null;
    return Math.min(Math.floor(y / pitch), grid - 1) * grid + Math.min(Math.floor((x - start) / pitch), grid - 1) + 1;
  }

  function stripAt(event) {
    const box = strip.stage.getBoundingClientRect();
    const { size, columns, pitch, tokens } = view.strip;
    const column = Math.floor((event.clientX - box.left) / (size + STRIP.gap));
    const number = Math.floor((event.clientY - box.top) / pitch) * columns + column;
    return column >= 0 && column < columns && number >= 0 && number < tokens ? number + first : null;
  }

  for (const [stage, at] of [[main, mainAt], [strip, stripAt]]) {
    stage.stage.addEventListener("pointermove", (event) => {
      const place = at(event);
      if (place === view.hover) return;
      view.hover = place;
      point();
    });
    stage.stage.addEventListener("pointerleave", () => { if (view.hover !== null) { view.hover = null; point(); } });
    stage.stage.addEventListener("click", (event) => { const place = at(event); if (place !== null) pick(place); });
  }
  main.stage.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" || token() !== 1 || !hasClass() || meantForOthers(main.stage, event)) return;
    pick(0);
    event.preventDefault();
    event.stopImmediatePropagation();
  });
  roving(main.stage, {
    size: () => [view.picture.cut.grid, view.picture.cut.grid],
    get: () => { const { grid } = view.picture.cut; return token() === 0 ? [0, -1] : [Math.floor((token() - 1) / grid), (token() - 1) % grid]; },
    move: (row, column) => pick(row * view.picture.cut.grid + column + 1),
  });
  roving(strip.stage, {
    size: () => [view.strip.rows, view.strip.columns],
    get: () => { const number = (view.hover ?? token()) - first; return [Math.floor(number / view.strip.columns), number % view.strip.columns]; },
    move: (row, column) => { view.hover = Math.min(row * view.strip.columns + column, view.strip.tokens - 1) + first; point(); },
    enter: () => { if (view.hover !== null) pick(view.hover); },
  });
  strip.stage.addEventListener("blur", () => { if (view.hover !== null) { view.hover = null; point(); } });

  for (const name of ["image", "seed", "patch_size", "show", "layer", "head", "fusion"]) model.on(`change:${name}`, () => show());
  model.on("change:token", () => follow());
  card.root.numbers = () => ({ image: view.image, seed: view.seed, token: token(), hover: view.hover, show: get("show"), order: view.order,
    values: Array.from(view.values, (value) => (Number.isNaN(value) ? null : value)), top: view.top, exact: view.reading?.exact ?? true,
    grid: view.picture.cut.grid, size: view.picture.cut.size, layout: view.layout, strip: view.strip, pictures: sentPictures().length });
  show();
}

export default { render };
