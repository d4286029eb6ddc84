// FillInTheBlank: words are buttons; a hidden word becomes [MASK], and every model says what stands there.

const BARS = { alone: 8, compared: 6, among: 5 };        // of a blank: alone, alone in both contexts, among others
const FULL_BARS = [0.1, 0.2, 0.5, 1];                    // what a full bar may stand for: the least that holds them all
const MASK_TOKEN = "[MASK]";
const AROUND = { left: 3, right: 4 };                    // words around a blank in the line that tells what was read

/** The arrays that Python sent for the blanks of one sentence, as one list of blanks. */
function readBlanks({ blanks, top, probability, chance, rank }, names) {
  const [p, c, r] = [probability, chance, rank].map((packed) => decode(packed));
  const shown = p.shape[3];
  return blanks.map((blank, number) => ({
    ...blank,
    models: names.map((name, model) => ({
      name,
      contexts: [0, 1].map((context) => {
        const place = (number * names.length + model) * 2 + context;
        return {
          top: top[number][model][context].map((piece, index) => [piece, p.data[place * shown + index]]),
          chance: blank.truth === null ? null : c.data[place], rank: blank.truth === null ? null : r.data[place],
        };
      }),
    })),
  }));
}

const grouped = (number) => number.toLocaleString("en-US");
const pieceText = (piece, most = 18) => shortened(legible(piece), most);
const barText = (value) => (value < 0.005 ? "<0.01" : fixed(value, 2));
const chanceText = (value) => (value < 0.0005 ? scientific(value) : fixed(value));

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "fill-in-the-blank", title: "Fill in the blank",
    note: "hide a word: what do the models expect there?" });
  const names = model.get("names");
  const put = makeSaver(model);
  // answer: the sentence on the screen. hidden: the words that the reader hides, known at once; blanks: what is drawn,
  // and drawn: the words hidden there. latest: the word hidden last. covered: what is drawn was sent in advance.
  // typed: a text that was asked for and is not answered yet. refused: {text, message} of one that makes no sense.
  const view = { answer: null, hidden: new Set(), blanks: [], drawn: [], latest: null, typed: null, refused: null,
    left: false, covered: false, at: 0, full: 1 };

  // ------------------------------------------------------------ asking
  const asker = makeAsker({
    model, signal, busy: (busy) => card.busy(busy && !view.covered),
    failed: (message) => {
      if (message.startsWith("No answer") && view.covered) return;       // what is drawn was sent in advance
      if (message && view.typed !== null) view.refused = { text: view.typed, message };
      card.fail(message);
      if (!message) return;
      view.typed = null;
      view.hidden = new Set(view.drawn);
      paintWords();
    },
    answered: guarded(card, (answer) => {
      if (view.typed === answer.text) view.typed = null;
      take(answer);
      if (view.refused && view.refused.text === field.value) card.fail(view.refused.message);
      else if (view.typed === null) field.value = answer.text;
    }),
  });
  function ask(now) {
    asker.ask({ text: view.typed ?? view.answer.text, hidden: [...view.hidden], of: view.answer.text }, now);
  }
  /** Another sentence. Words that stand in it unchanged at the start or the end stay hidden while the reader types. */
  function askFor(text, now, anew = false) {
    view.typed = text;
    view.covered = false;
    if (anew) asker.ask({ text, hidden: [] }, now);
    else ask(now);
  }

  // ------------------------------------------------------------ controls
  const field = make("input", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": "Sentence",
    on: {
      input: () => askFor(field.value, false),
      keydown: (event) => { if (event.key === "Enter") askFor(field.value, true); },
    } });
  const examples = makeExamples(model.get("examples"), (text) => { field.value = text; askFor(text, true, true); });
  const reads = makeSwitch("What the models read", [["full", "full sentence"], ["left", "full and left part"]], "full",
    (value) => { put("left", value === "left"); showLeft(); });
  const showAll = make("button", { type: "button", class: "rta-button", text: "Show all words",
    on: { click: () => choose(new Set(), null) } });
  card.controls.append(reads, showAll);
  model.on("change:left", guarded(card, () => showLeft()));

  // ------------------------------------------------------------ layout
  const strip = make("div", { class: "rta-fb-strip", role: "group",
    "aria-label": "Words: arrow keys move, Space hides or shows" });
  const told = make("span", { class: "rta-note" });                    // an error stands in its place
  const scale = make("span", { class: "rta-note rta-fb-scale" });
  const table = make("div", { class: "rta-fb-table", role: "region", "aria-label": "Predictions for every blank" });
  card.body.append(
    make("div", { class: "rta-tf-ask" }, make("label", { class: "rta-field" }, "Sentence", field), examples),
    strip, make("div", { class: "rta-fb-told" }, card.error, told, scale), table,
  );

  // ------------------------------------------------------------ the words
  const wordText = (number, most = 24) => shortened(legible(view.answer.words[number].text), most);
  const isHidden = (number) => view.answer.words[number].blank || view.hidden.has(number);
  const buttons = () => [...strip.querySelectorAll("button")];

  function buildWords() {
    const { words, before, after } = view.answer;
    const special = (token) => make("span", { class: "rta-fb-word rta-fb-special",
      title: `${legible(token)}: put there by the tokenizer, cannot be hidden` },
      make("span", { text: legible(token) }));
    strip.replaceChildren(...before.map(special), ...words.map((word, number) => (word.blank
      ? make("span", { class: "rta-fb-word rta-fb-hidden" }, make("span", { text: MASK_TOKEN }),
        make("small", { text: "typed" }))
      : make("button", { type: "button", class: "rta-fb-word", data: { word: number },
        on: { click: () => toggle(number), focus: () => { view.at = number; keepTabStop(); } } },
        make("span", {}), make("small", {})))), ...after.map(special));
    view.at = Number(buttons()[0]?.dataset.word ?? 0);
    keepTabStop();
  }

  /** One of the words can be reached by Tab, the others by the arrow keys. */
  function keepTabStop() {
    for (const button of buttons()) button.tabIndex = Number(button.dataset.word) === view.at ? 0 : -1;
  }

  function paintWords() {
    for (const button of buttons()) {
      const number = Number(button.dataset.word);
      const { pieces, unknown } = view.answer.words[number];
      const hidden = view.hidden.has(number);
      const [text, below] = button.children;
      const masks = pieces.length > 2 ? `${MASK_TOKEN} ×${pieces.length}` : pieces.map(() => MASK_TOKEN).join(" ");
      const split = pieces.length > 1 || unknown ? shortened(pieces.map((piece) => legible(piece)).join(" "), 40) : "";
      text.textContent = hidden ? masks : wordText(number);
      below.textContent = hidden ? wordText(number) : split;
      button.title = legible(view.answer.words[number].text).slice(0, 200);
      button.classList.toggle("rta-fb-hidden", hidden);
      button.setAttribute("aria-pressed", String(hidden));
      button.setAttribute("aria-label", `${wordText(number)}${pieces.length > 1 ? `, ${pieces.length} pieces` : ""}, ${
        hidden ? "hidden" : "shown"}`);
    }
    showAll.disabled = view.hidden.size === 0;
  }

  /** What the reader should know about what is read: unknown pieces, no word left, an input unlike those of training. */
  function paintTold() {
    const { words } = view.answer;
    const unknown = words.flatMap(({ unknown: missing }, number) => (missing ? [`‘${wordText(number, 16)}’`] : []));
    const lines = [];
    if (unknown.length) {
      lines.push(`${shortened(unknown.join(", "), 80)}: no pieces in the vocabulary, read as [UNK].`);
    }
    if (words.every((_, number) => isHidden(number))) {
      lines.push("Every word is hidden: all that is left to read is how many pieces there are.");
    }
    if (view.left && view.blanks.length) {
      lines.push("Left part only: nothing stands to the right of the word, not even [SEP]. Training never showed such a text.");
    }
    told.textContent = lines.join(" ");
  }

  strip.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const all = buttons();
    const now = all.indexOf(document.activeElement);
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: all.length - 1 }[event.key];
    if (now < 0 || next === undefined) return;
    all[within(next, 0, all.length - 1)].focus();
    event.preventDefault();
    event.stopPropagation();
  });

  function toggle(number) {
    const hidden = new Set(view.hidden);
    if (!hidden.delete(number)) hidden.add(number);
    choose(hidden, number);
  }

  /** Hide these words: drawn at once where it was sent in advance, and asked for in any case. */
  function choose(hidden, latest) {
    view.hidden = hidden;
    view.latest = hidden.has(latest) ? latest : null;
    const prepared = model.get("prepared");
    const sent = view.typed === null && prepared.text === view.answer.text
      ? prepared.sets.findIndex((set) => set.length === hidden.size && set.every((number) => hidden.has(number))) : -1;
    view.covered = sent >= 0;
    paintWords();
    if (view.covered) {
      view.blanks = readBlanks(prepared.filled[sent], names);
      view.drawn = [...hidden];
      show();
    }
    ask(false);
  }

  // ------------------------------------------------------------ the blanks
  /** The words around a blank as the model read them; what was cut away is struck out. */
  function reading(blank, cut) {
    const { words, before, after } = view.answer;
    const masks = (count) => Array.from({ length: count }, () => MASK_TOKEN);
    const name = (number) => (isHidden(number) ? masks(words[number].pieces.length).join(" ") : wordText(number, 12));
    const all = [...before.map(legible), ...words.map((_, number) => name(number)), ...after.map(legible)];
    const at = before.length + blank.word;
    const from = Math.max(0, at - AROUND.left);
    const left = [...all.slice(from, at), ...masks(blank.piece)].join(" ");
    const own = masks(blank.of - 1 - blank.piece).join(" ");
    const rest = all.slice(at + 1, at + 1 + AROUND.right).join(" ");
    return make("div", { class: "rta-fb-reading", title: cut ? "everything to the right of the word is cut away" : "" },
      make("span", { text: `${from ? "… " : ""}${left} ` }), make("b", { text: MASK_TOKEN }), ` ${own} `,
      rest ? make(cut ? "s" : "span", { text: rest }) : null);
  }

  const barsShown = () => (view.blanks.length > 1 ? BARS.among : view.left ? BARS.compared : BARS.alone);
  /** What a full bar stands for, the same for all that is shown. */
  function fullBar() {
    const largest = Math.max(0, ...view.blanks.flatMap(({ models }) =>
      models.flatMap(({ contexts }) => contexts.slice(0, view.left ? 2 : 1).map(({ top }) => top[0][1]))));
    return FULL_BARS.find((full) => full >= largest) ?? 1;
  }

  function barsOf(blank, { top, chance, rank }) {
    const shown = top.slice(0, barsShown());
    const rows = shown.flatMap(([piece, probability]) => {
      const right = piece === blank.truth;
      const text = `${right ? "✓ " : ""}${pieceText(piece)}`;
      return [
        make(right ? "b" : "span", { text, title: legible(piece).slice(0, 200) }),
        make("div", { class: right ? "rta-bar rta-marked" : "rta-bar", style: `width: ${Math.max(0.5, (100 * probability) / view.full)}%` }),
        make(right ? "b" : "span", { class: "rta-mono", text: barText(probability) }),
      ];
    });
    const line = blank.truth === null ? [make("span", { text: "you typed [MASK]: no hidden word" })] : [
      make("b", { text: `${rank === 1 ? "✓ " : ""}${pieceText(blank.truth, 14)}` }),
      make("span", { text: ` rank ${grouped(rank)}${view.left ? "" : ` of ${grouped(view.answer.pieces)}`} · ` }),
      make("span", { class: "rta-mono", text: chanceText(chance) })];
    return [make("div", { class: "rta-bars" }, ...rows), make("div", { class: "rta-fb-truth",
      title: `rank among all ${grouped(view.answer.pieces)} pieces, and probability` }, ...line)];
  }

  function paintBlank(blank, number) {
    const { word, piece, of, truth, models } = blank;
    const name = truth === null ? "typed [MASK]" : `‘${wordText(word)}’`;
    const part = of === 1 ? "" : ` piece ${piece + 1} of ${of}: ${pieceText(truth)}`;
    const alone = of > 1 && piece === 0 ? " · each piece is filled without knowing the others" : "";
    return make("section", { class: "rta-fb-blank", data: { word }, "aria-label": `Blank ${number + 1}: ${name}${part}` },
      make("div", { class: "rta-caption" }, `blank ${number + 1} `, make("b", { text: name }), part, alone),
      make("div", { class: "rta-fb-models" }, ...models.map(({ name: title, contexts }) =>
        make("div", { class: "rta-fb-model" }, make("div", { class: "rta-fb-name", text: sentenceText(title, 60) }),
          make("div", { class: "rta-fb-contexts" }, ...contexts.slice(0, view.left ? 2 : 1).map((context, cut) =>
            make("div", {}, view.left ? make("div", { class: "rta-note", text: cut ? "left part only" : "full sentence" }) : null,
              view.left ? reading(blank, cut === 1) : null, ...barsOf(blank, context))))))));
  }

  function paintTable() {
    view.full = fullBar();
    scale.textContent = view.blanks.length ? `a full bar is ${view.full}` : "";
    table.style.setProperty("--models", names.length);
    table.classList.toggle("rta-fb-both", view.left);
    table.tabIndex = view.blanks.length > 2 ? 0 : -1;                    // only where it may scroll
    table.replaceChildren(...(view.blanks.length ? view.blanks.map(paintBlank) : [
      make("p", { class: "rta-note rta-fb-empty",
        text: "No word is hidden. Click a word above, or press Space on it: it becomes [MASK], and here stands what the model expects in its place." })]));
    bringIntoView([...table.querySelectorAll(`[data-word="${view.latest}"]`)]);
  }

  /** Scroll no more than needed to show these blanks, the first at least. */
  function bringIntoView(sections) {
    if (!sections.length) return;
    const [first, last] = [sections[0], sections.at(-1)];
    const least = last.offsetTop + last.offsetHeight - table.clientHeight;
    table.scrollTop = Math.min(Math.max(table.scrollTop, least), first.offsetTop);
  }

  // ------------------------------------------------------------ reading out
  function say() {
    const { blanks } = view;
    if (!blanks.length) { card.say("No word is hidden."); return; }
    const word = blanks.some((blank) => blank.word === view.latest) ? view.latest : blanks[0].word;
    const own = blanks.filter((blank) => blank.word === word);
    const nodes = [make("b", { text: own[0].truth === null ? MASK_TOKEN : wordText(word) })];
    names.forEach((name, index) => {
      nodes.push(" · ", make("span", { class: "rta-note", text: `${sentenceText(name, 40)}: ` }));
      own.forEach((blank, piece) => {
        if (piece) nodes.push(", ");
        nodes.push(...tell(blank, blank.models[index].contexts));
      });
    });
    card.say(...nodes);
  }

  function tell(blank, contexts) {
    const one = ({ top: [[piece, probability]], rank }) => [rank === 1 ? "✓ " : "", make("code", { text: pieceText(piece) }), " ",
      make("span", { class: "rta-mono", text: chanceText(probability) }),
      rank === null || rank === 1 ? "" : ` (‘${pieceText(blank.truth, 14)}’ has rank ${grouped(rank)})`];
    return view.left ? [...one(contexts[0]), ", left part only ", ...one(contexts[1])] : one(contexts[0]);
  }

  // ------------------------------------------------------------ showing
  const show = guarded(card, () => { paintTable(); paintTold(); say(); });

  function showLeft() {
    view.left = model.get("left");
    reads.choose(view.left ? "left" : "full");
    if (view.answer) show();
  }

  function take(answer) {
    const same = view.answer && view.answer.text === answer.text;
    view.answer = answer;
    view.hidden = new Set(answer.hidden);
    view.covered = false;
    if (!same) { view.latest = null; buildWords(); }
    view.blanks = readBlanks(answer, names);
    view.drawn = answer.hidden;
    paintWords();
    show();
  }

  card.root.numbers = () => ({ text: view.answer.text, hidden: [...view.hidden].sort((a, b) => a - b), left: view.left,
    covered: view.covered, blanks: view.blanks });
  showLeft();
  guarded(card, () => take(model.get("answer")))();
  field.value = model.get("answer").text;
}

export default { render };
