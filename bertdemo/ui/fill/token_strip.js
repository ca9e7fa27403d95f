// The token strip's script: draws the pieces, hides and restores them, and tells the server what is hidden now.
// Gradio runs this text as a function with `element`, `trigger`, `props` and `watch`. Words come in as text only.

const HINT = 'Press a word to hide it; shift-press, or hold, for all of its pieces.';
const LONG_PRESS = 500; // ms
const TREMBLE = 12; // px that a held finger may move
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

const add = (tag, className, parent, text = '') => {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent.appendChild(node);
  return node;
};

class TokenStrip {
  constructor(root) {
    this.part = (name) => root.querySelector(`.strip-${name}`);
    this.current = 0; // the piece that the tab key reaches
    this.held = false; // a long press was just answered: the click that follows it is none
    this.listen();
    this.take();
  }

  // What the server sent, unless the reader has tapped again since it was asked.
  take() {
    const sent = props.value;
    if (!sent?.tokens) { // nothing, or ids whose pieces have no names until the server has read them: begin anew
      this.anew = true;
      return;
    }
    if (this.state && !this.anew && sent.version < this.state.version) {
      props.value = this.state;
      return;
    }
    this.anew = false;
    const other = sent.text !== this.state?.text;
    this.state = sent;
    this.draw();
    if (other) this.showBlank();
  }

  // Of a long text only a part is in sight: the part with its first blank.
  showBlank() {
    const pieces = this.part('pieces');
    const blank = pieces.querySelector('.strip-mask');
    if (!blank || pieces.scrollHeight <= pieces.clientHeight) return;
    pieces.scrollTop += blank.getBoundingClientRect().top - pieces.getBoundingClientRect().top - pieces.clientHeight / 2;
  }

  draw() {
    const { tokens, words, originals, said } = this.state;
    const pieces = this.part('pieces');
    const focused = pieces.contains(document.activeElement);
    pieces.dir = tokens.some((token, place) => words[place] !== null && RIGHT_TO_LEFT.test(token)) ? 'rtl' : 'ltr';
    pieces.replaceChildren();
    let group = null;
    tokens.forEach((token, place) => {
      const word = words[place];
      if (word === null || !place || word !== words[place - 1]) group = add('span', 'strip-word', pieces);
      if (word === null) add('span', 'strip-special', group, token).title = this.about(place);
      else this.drawPiece(group, place);
    });
    this.buttons = [...pieces.querySelectorAll('button')];
    this.reach(Math.min(this.current, this.buttons.length - 1), focused);
    this.part('back').disabled = !Object.keys(originals).length;
    this.part('said').replaceChildren();
    said.forEach((sentence) => add('li', '', this.part('said'), sentence));
    this.inform(null);
  }

  drawPiece(group, place) {
    const { tokens, ids, originals, mask } = this.state;
    const original = originals[place];
    const button = add('button', 'strip-piece', group);
    button.type = 'button';
    button.dataset.place = place;
    button.title = this.about(place);
    const hidden = ids[place] === mask.id;
    button.classList.toggle('strip-mask', hidden);
    add('bdi', '', button, tokens[place]);
    if (original) add('del', '', button, original.token);
    if (hidden && !original) button.setAttribute('aria-disabled', 'true');
    else button.setAttribute('aria-pressed', String(hidden));
  }

  about(place) {
    const { tokens, ids, words, originals, mask } = this.state;
    if (words[place] === null) return `${tokens[place]}: id ${ids[place]}, added by the model's tokenizer`;
    const original = originals[place];
    if (original) return `${original.token}: id ${original.id}, hidden; press to bring it back`;
    if (ids[place] === mask.id) return `${tokens[place]}: id ${ids[place]}, a blank of your text`;
    const pieces = this.wordOf(place);
    const part = pieces.length > 1 ? `, piece ${pieces.indexOf(place) + 1} of ${pieces.length}` : '';
    return `${tokens[place]}: id ${ids[place]}${part}`;
  }

  inform(place) {
    this.part('info').textContent = place === null ? HINT : this.about(place);
  }

  // The pieces of a word, hidden or not.
  wordOf(place) {
    const { words } = this.state;
    return words.map((_, other) => other).filter((other) => words[other] === words[place]);
  }

  press(place, whole) {
    const { ids, originals, mask } = this.state;
    const all = whole || this.part('whole').getAttribute('aria-pressed') === 'true';
    const chosen = (all ? this.wordOf(place) : [place]).filter((at) => originals[at] || ids[at] !== mask.id);
    if (!chosen.length) return this.inform(place);
    const hide = chosen.some((at) => !originals[at]);
    chosen.forEach((at) => (hide ? this.hide(at) : this.restore(at)));
    return this.tell();
  }

  hide(place) {
    const { ids, tokens, originals, mask } = this.state;
    if (originals[place]) return;
    originals[place] = { id: ids[place], token: tokens[place] };
    ids[place] = mask.id;
    tokens[place] = mask.token;
  }

  restore(place) {
    const { ids, tokens, originals } = this.state;
    ids[place] = originals[place].id;
    tokens[place] = originals[place].token;
    delete originals[place];
  }

  // The strip shows the change at once; what the model says to it follows.
  tell() {
    this.state = { ...structuredClone(this.state), version: this.state.version + 1, edited: true, said: [] };
    this.draw();
    props.value = structuredClone(this.state);
    trigger('tapped');
  }

  reach(index, focus) {
    this.current = Math.max(0, index);
    this.buttons.forEach((button, at) => { button.tabIndex = at === this.current ? 0 : -1; });
    if (focus) this.buttons[this.current]?.focus();
  }

  move(event) {
    const back = this.part('pieces').dir === 'rtl' ? 'ArrowRight' : 'ArrowLeft';
    const forth = back === 'ArrowLeft' ? 'ArrowRight' : 'ArrowLeft';
    const last = this.buttons.length - 1;
    const targets = { [back]: this.current - 1, [forth]: this.current + 1, Home: 0, End: last };
    if (!(event.key in targets)) return;
    event.preventDefault();
    this.reach(Math.max(0, Math.min(last, targets[event.key])), true);
  }

  listen() {
    const pieces = this.part('pieces');
    const piece = (event) => event.target.closest?.('.strip-piece');
    const at = (event) => Number(piece(event).dataset.place);
    pieces.addEventListener('click', (event) => {
      if (!piece(event) || this.held) { this.held = false; return; }
      this.current = this.buttons.indexOf(piece(event));
      this.press(at(event), event.shiftKey);
    });
    pieces.addEventListener('keydown', (event) => this.move(event));
    const shown = (event) => this.inform(piece(event) ? at(event) : null);
    ['focusin', 'pointerover'].forEach((name) => pieces.addEventListener(name, shown));
    ['focusout', 'pointerleave'].forEach((name) => pieces.addEventListener(name, () => this.inform(null)));
    this.listenForLongPress(pieces, piece, at);
    const whole = this.part('whole');
    whole.addEventListener('click', () => {
      const on = whole.getAttribute('aria-pressed') !== 'true';
      whole.setAttribute('aria-pressed', String(on));
      whole.textContent = `whole words: ${on ? 'on' : 'off'}`;
    });
    this.part('back').addEventListener('click', () => {
      Object.keys(this.state.originals).forEach((place) => this.restore(Number(place)));
      this.tell();
    });
  }

  listenForLongPress(pieces, piece, at) {
    let waiting = 0;
    let from = null; // where the finger came down
    const stop = () => clearTimeout(waiting);
    const moved = (event) => from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > TREMBLE;
    pieces.addEventListener('pointerdown', (event) => {
      this.held = false;
      if (event.pointerType !== 'touch' || !piece(event)) return;
      const place = at(event);
      from = event;
      waiting = setTimeout(() => { this.held = true; this.press(place, true); }, LONG_PRESS);
    });
    ['pointerup', 'pointercancel'].forEach((name) => pieces.addEventListener(name, stop));
    pieces.addEventListener('pointermove', (event) => { if (moved(event)) stop(); });
    pieces.addEventListener('contextmenu', (event) => { if (this.held) event.preventDefault(); });
  }
}

const strip = new TokenStrip(element);
watch('value', () => strip.take());
