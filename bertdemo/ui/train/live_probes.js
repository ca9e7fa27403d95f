// The ladders under the chart: for each of the reader's sentences the five likeliest words, kept up to date in place.
// Every word and sentence is somebody's text: it enters the page through textContent only.

function make(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  parent.appendChild(node);
  return node;
}

const percent = (share) => {
  if (share > 0 && share < 0.001) return '< 0.1%';
  if (share < 1 && share > 0.9995) return '> 99.9%';
  return `${(100 * share).toFixed(1)}%`;
};

class ProbeLadders {
  static STEPS = 5;

  // `onChoose(sentence)` is called when the reader picks the sentence whose words the chart shows.
  constructor(box, onChoose) {
    this.box = box;
    this.list = box.querySelector('.live-sentences');
    this.onChoose = onChoose;
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.cards = [];
    this.chosen = 0;
    this.box.hidden = true;
  }

  update(history, charted) {
    if (!history.moments.length) return;
    this.box.hidden = false;
    const start = history.moments[0].answers;
    history.newest.answers.forEach((masks, sentence) => {
      const card = this.#card(sentence, history.sentences[sentence] || '', masks.length);
      const isChosen = sentence === this.chosen;
      card.choose.setAttribute('aria-pressed', String(isChosen));
      card.choose.textContent = isChosen ? 'in the chart' : 'show in the chart';
      masks.forEach(({ top }, mask) => {
        const before = (start[sentence]?.[mask]?.top || []).map(([word]) => word);
        this.#fill(card.ladders[mask], top, before);
      });
      this.#fillKey(card.key, isChosen ? charted : []);
    });
  }

  #card(sentence, text, masks) {
    if (this.cards[sentence]) return this.cards[sentence];
    const node = make('article', 'live-sentence', this.list);
    make('h4', '', node).textContent = text;
    const choose = make('button', 'live-choose', node);
    choose.type = 'button';
    choose.addEventListener('click', () => {
      this.chosen = sentence;
      this.onChoose(sentence);
    });
    const key = make('ul', 'live-word-key', node);
    const ladders = [];
    for (let mask = 0; mask < masks; mask += 1) ladders.push(this.#ladder(node, mask, masks));
    this.cards[sentence] = { choose, key, ladders };
    return this.cards[sentence];
  }

  #ladder(node, mask, masks) {
    if (masks > 1) make('p', 'live-blank', node).textContent = `blank ${mask + 1}`;
    const list = make('ol', 'live-ladder', node);
    return Array.from({ length: ProbeLadders.STEPS }, () => {
      const row = make('li', '', list);
      return {
        row,
        word: make('bdi', 'live-word', row),
        bar: make('span', 'live-word-bar', row),
        share: make('span', 'live-share', row),
        moved: make('span', 'live-moved', row),
      };
    });
  }

  #fill(rungs, top, before) {
    const full = top.length && top[0][1] > 0.5 ? 1 : 0.5; // a whole bar is 50%, or 100% once the first word needs it
    rungs.forEach((rung, place) => {
      const entry = top[place];
      rung.row.hidden = !entry;
      if (!entry) return;
      const [word, share] = entry;
      rung.word.textContent = word;
      rung.bar.style.setProperty('--share', `${(100 * share) / full}%`);
      rung.share.textContent = percent(share);
      const was = before.indexOf(word);
      const [sign, said] =
        was < 0 ? ['new', 'not in the first five before'] : was > place ? [`▲${was - place}`, `up ${was - place}`]
          : was < place ? [`▼${place - was}`, `down ${place - was}`] : ['', 'same place as before'];
      rung.moved.textContent = sign;
      rung.moved.title = said;
    });
  }

  #fillKey(list, charted) {
    while (list.children.length > charted.length) list.lastChild.remove();
    while (list.children.length < charted.length) {
      const item = make('li', '', list);
      make('span', 'live-swatch', item);
      make('bdi', '', item);
      make('span', 'live-share', item);
    }
    charted.forEach(({ name, y }, place) => {
      const [swatch, word, share] = list.children[place].children;
      const look = WORD_LINES[place % WORD_LINES.length];
      swatch.style.setProperty('--line', `var(${look.color})`);
      swatch.dataset.dash = look.dash;
      word.textContent = name;
      const now = y[y.length - 1];
      share.textContent = now === null ? 'below the first five' : percent(now);
    });
  }
}
