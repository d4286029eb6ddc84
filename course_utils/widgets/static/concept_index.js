// ConceptIndex: words in two languages and questions. Typing filters them, arrow keys choose one, and its links lead to
// the cells that teach, show and ask for it.

// ---------------------------------------------------------------- Korean, key by key

const LEADS = Array.from("ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ");
const VOWELS = Array.from("ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ");
const TAILS = ["", ...Array.from("ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")];
const PAIRS = { ㄳ: "ㄱㅅ", ㄵ: "ㄴㅈ", ㄶ: "ㄴㅎ", ㄺ: "ㄹㄱ", ㄻ: "ㄹㅁ", ㄼ: "ㄹㅂ", ㄽ: "ㄹㅅ", ㄾ: "ㄹㅌ", ㄿ: "ㄹㅍ", ㅀ: "ㄹㅎ", ㅄ: "ㅂㅅ",
  ㅘ: "ㅗㅏ", ㅙ: "ㅗㅐ", ㅚ: "ㅗㅣ", ㅝ: "ㅜㅓ", ㅞ: "ㅜㅔ", ㅟ: "ㅜㅣ", ㅢ: "ㅡㅣ" };

/** Lead, vowel and tail of a Korean syllable, or null for any other character. */
function jamo(character) {
  const code = character.codePointAt(0) - 0xac00;
  return code < 0 || code > 11171 ? null : [LEADS[Math.floor(code / 588)], VOWELS[Math.floor(code / 28) % 21], TAILS[code % 28]];
}

/** Text as the keys that write it, in small letters: a half-typed syllable is then the beginning of the whole one. */
const keysOf = (text) => Array.from(text.normalize("NFC").toLowerCase(), (character) =>
  (jamo(character) ?? [character]).map((part) => PAIRS[part] ?? part).join("")).join("");

/** The first consonant of each syllable: many readers type only these. */
const leadsOf = (text) => Array.from(text.normalize("NFC"), (character) => jamo(character)?.[0] ?? " ").join("");

// ---------------------------------------------------------------- searching

/** What an entry is searched by: its names (English, Korean, or the question), and all its text. */
function searchable(entry) {
  const written = entry.question === undefined ? [entry.english, entry.korean] : [entry.question];
  const names = [...written, ...written.map((name) => name.replaceAll(/[\s-]/g, ""))];    // 미세조정, selfattention
  return { entry, names: names.map(keysOf), leads: leadsOf(entry.korean ?? ""),
    all: keysOf([...names, entry.definition ?? "", entry.id ?? "", (entry.about ?? []).join(" ")].join(" ")) };
}

// What a question holds and an entry need not.
const EMPTY = new Set("a able an and are at be can do does for from get has have how i in is it me my not of on or so than that the then to was what when where which who why will with you your".split(" "));
const PARTLY = 10;                    // a rank from here on: only some of the words fit

/** How well an entry fits, 0 the best; null where it does not. */
function fit({ names, leads, all }, query) {
  const whole = keysOf(query).split(/\s+/).filter(Boolean).join(" ");
  if (whole === "" || names.some((name) => name.startsWith(whole))) return 0;
  const asked = whole.replace(/[?!.,;:“”"()]/g, " ").split(/\s+/).filter(Boolean);
  const telling = asked.filter((word) => !EMPTY.has(word));
  const words = (telling.length ? telling : asked).map((word) => (/^[a-z]{4,}s$/.test(word) ? word.slice(0, -1) : word));
  if (words.length === 0) return null;
  const inside = names.filter((name) => words.every((word) => name.includes(word)));
  if (inside.some((name) => name.split(/[\s()·:,-]+/).some((part) => part.startsWith(words[0])))) return 1;
  if (inside.length || (/^[ㄱ-ㅎ]{2,}$/.test(query.trim()) && leads.includes(query.trim()))) return 2;
  const fitting = words.filter((word) => all.includes(word)).length;
  if (fitting === words.length) return 3;
  return 3 * fitting >= words.length && fitting ? PARTLY + words.length - fitting : null;
}

function render({ model, el, signal }) {
  const entries = { words: model.get("words").map(searchable), questions: model.get("questions").map(searchable) };
  const chapters = model.get("chapters");
  const fileOf = new Map(chapters.map(({ number, file }) => [number, file]));
  const card = makeCard(el, { kind: "concept-index", title: "Find a word or an answer" });
  const neighbours = makeNeighbours(card, model.get("folder"));
  const view = { kind: "words", wanted: "words", query: "", chapter: "", found: [], at: 0 };
  const listId = `rta-index-${Math.random().toString(36).slice(2)}`;

  const input = make("input", { type: "text", "aria-label": "Search in English or Korean", placeholder: "English or Korean: gradient, 어텐션", autocomplete: "off", spellcheck: "false",
    role: "combobox", "aria-expanded": "true", "aria-controls": listId, on: { input: () => { view.query = input.value.slice(0, 200); search(); } } });
  const chooser = make("select", { "aria-label": "Chapter", on: { change: () => { view.chapter = chooser.value; search(); } } },
    make("option", { value: "", text: "all chapters" }), ...chapters.map(({ number, title }) => make("option", { value: number, text: `${number} ${shortened(title, 40)}` })));
  const kinds = makeSwitch("What to search", [["words", "Words"], ["questions", "Questions"]], view.kind, (kind) => { view.wanted = kind; search(); });
  const list = make("div", { class: "rta-index-list", role: "listbox", id: listId, "aria-label": "Found", tabindex: 0 });
  const shown = make("div", { class: "rta-index-found", role: "region", "aria-label": "The word or question that is chosen" });
  card.controls.append(kinds);
  card.body.append(make("div", { class: "rta-index-asked" }, make("div", { class: "rta-field" }, input), chooser),
    make("div", { class: "rta-index" }, list, shown));

  /** The entries of both kinds that fit, the best first, otherwise in the order of the course; partly only if none does. */
  function matches() {
    const ranked = (items) => items.map((item) => [fit(item, view.query), item.entry])
      .filter(([rank, entry]) => rank !== null && (view.chapter === "" || entry.chapter === view.chapter)).sort(([one], [other]) => one - other);
    const found = { words: ranked(entries.words), questions: ranked(entries.questions) };
    view.partly = [...found.words, ...found.questions].every(([rank]) => rank >= PARTLY);
    const enough = ([rank]) => view.partly || rank < PARTLY;
    return { words: found.words.filter(enough).map(([, entry]) => entry), questions: found.questions.filter(enough).map(([, entry]) => entry) };
  }

  function makeRow(entry, index) {
    const korean = entry.korean && entry.korean !== entry.english;
    return make("div", { class: "rta-index-row", role: "option", id: `${listId}-${index}`, "aria-selected": "false", on: { click: () => choose(index) } },
      make("span", { class: "rta-mono", text: shortened(entry.chapter, 4) }),
      make("span", {}, ...withCode(shortened(entry.question ?? entry.english, 120)), " ",
        korean ? make("span", { class: "rta-note", lang: "ko", text: shortened(entry.korean, 60) }) : null));
  }

  function search() {
    const found = matches();
    const wanted = view.query.trim().endsWith("?") ? "questions" : view.wanted;
    const other = wanted === "words" ? "questions" : "words";
    view.kind = found[wanted].length === 0 && found[other].length ? other : wanted;      // better than an empty list
    view.found = found[view.kind];
    kinds.choose(view.kind);
    for (const button of kinds.children) button.textContent = `${button.dataset.value === "words" ? "Words" : "Questions"} ${found[button.dataset.value].length}`;
    list.replaceChildren(...view.found.map(makeRow));
    list.scrollTop = 0;
    if (view.found.length) { choose(0); return; }
    shown.replaceChildren();
    card.say(`Nothing fits “${sentenceText(view.query, 40)}”${view.chapter ? ` in chapter ${view.chapter}` : ""}. Try a shorter piece of it, or the other language.`);
    input.removeAttribute("aria-activedescendant");
    list.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    view.at = within(index, 0, view.found.length - 1);
    [...list.children].forEach((row, place) => row.setAttribute("aria-selected", String(place === view.at)));
    for (const node of [input, list]) node.setAttribute("aria-activedescendant", `${listId}-${view.at}`);
    const row = list.children[view.at];
    if (row.offsetTop < list.scrollTop || row.offsetTop + row.offsetHeight > list.scrollTop + list.clientHeight) {
      list.scrollTop = row.offsetTop - list.clientHeight / 2;
    }
    show(view.found[view.at]);
  }

  function links(places, withChapter = true) {
    return places.filter(({ chapter }) => fileOf.has(chapter)).map(({ chapter, cell, heading }) =>
      neighbours.link(fileOf.get(chapter), cell, {}, ...(withChapter ? [make("span", { class: "rta-mono", text: chapter }), " "] : []), ...withCode(shortened(heading, 90))));
  }

  /** Words as buttons that go to them, whatever was searched. */
  function wordButtons(ids) {
    return ids.map((id) => entries.words.find(({ entry }) => entry.id === id)?.entry).filter(Boolean).map((word) =>
      make("button", { type: "button", text: `${shortened(word.english, 60)} · ${shortened(word.korean, 40)}`, on: { click: () => goTo(word) } }));
  }

  function goTo(word) {
    Object.assign(view, { wanted: "words", query: "", chapter: "" });
    input.value = "";
    chooser.value = "";
    search();
    choose(view.found.indexOf(word));
    list.focus({ preventScroll: true });
  }

  const row = (name, nodes) => (nodes.length ? [make("dt", { text: name }), make("dd", {}, ...nodes)] : []);

  function show(entry) {
    const isWord = entry.question === undefined;
    const asking = isWord ? entries.questions.filter((item) => item.entry.about.includes(entry.id)) : [];
    const known = new Set((entry.taught ?? []).map(({ chapter, heading }) => chapter + heading));
    const elsewhere = (entry.shown ?? []).filter(({ chapter, heading }) => !known.has(chapter + heading));
    shown.replaceChildren(
      make("h4", {}, ...withCode(shortened(isWord ? entry.english : entry.question, 200)), isWord ? " " : null,
        isWord ? make("span", { class: "rta-note", lang: "ko", text: shortened(entry.korean, 100) }) : null),
      ...(isWord ? [make("p", {}, ...withCode(shortened(entry.definition, 300)))] : []),
      make("dl", {},
        ...row("read", links(isWord ? [] : entry.answered)), ...row("words", isWord ? [] : wordButtons(entry.about)),
        ...row("taught", links(entry.taught ?? [])), ...row("shown also", links(elsewhere)), ...row("asked", links(entry.asked ?? [])),
        ...row("answers", asking.map((item) => make("span", { text: shortened(item.entry.question, 120) })))));
    shown.scrollTop = 0;
    neighbours.aim();
    card.say(make("b", { text: `${view.at + 1} of ${view.found.length}` }), view.partly ? " · none has all of these words" : null, make("span", { class: "rta-note", text: " · arrow keys choose, Enter opens the chapter there" }));
  }

  /** The same keys in the field and in the list; in the field, Home, End and the sideways arrows belong to the text. */
  function pressed(event) {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey || view.found.length === 0) return;
    const page = Math.max(1, Math.floor(list.clientHeight / list.children[0].offsetHeight) - 1);
    const steps = { ArrowDown: view.at + 1, ArrowUp: view.at - 1, PageDown: view.at + page, PageUp: view.at - page,
      ...(event.currentTarget === list ? { Home: 0, End: view.found.length - 1 } : {}) };
    if (event.key === "Enter") shown.querySelector("a")?.click();
    else if (steps[event.key] !== undefined) choose(steps[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  input.addEventListener("keydown", pressed);
  list.addEventListener("keydown", pressed);

  whenSeen(card, neighbours.aim, signal);
  search();
  card.root.numbers = () => ({ kind: view.kind, at: view.at, found: view.found.map(({ id, question }) => id ?? question) });
}

export default { render };
