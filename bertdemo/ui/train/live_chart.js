// The live chart's script. Gradio runs this text as a function with `element`, `trigger`, `props` and `watch`.
// In four parts: the points of a run, the Plotly figure, the ladders of words below it, and what holds them together.

// --- the points of one run; knows neither Plotly nor the page

// Training loss by step with its running mean. However long the run, it holds at most LIMIT points: the newest TAIL as
// they came, those before them as means of equal stretches of steps.
class LossCurve {
  static LIMIT = 4000;
  static TAIL = 1000;

  constructor() {
    this.clear(0);
  }

  // `total` steps decide how wide the running mean is: a fortieth of the run, but no less than 8 steps.
  clear(total) {
    this.steps = [];
    this.loss = [];
    this.smooth = [];
    this.window = Math.min(200, Math.max(8, Math.round(total / 40)));
    this.decay = 1 - 1 / this.window;
    this.sum = 0; // of the losses, each weighted by decay^age
    this.mass = 0; // the same sum with every loss 1: dividing by it corrects the start, where there is little to average
  }

  get last() {
    return this.steps.length ? this.steps[this.steps.length - 1] : 0;
  }

  // Takes new points in order of step; a point that stands for several steps weighs as much as they would.
  add(steps, losses) {
    const smooth = steps.map((step, place) => {
      const before = place ? steps[place - 1] : this.last;
      return this.#smoothed(losses[place], Math.max(1, step - before));
    });
    this.steps.push(...steps);
    this.loss.push(...losses);
    this.smooth.push(...smooth);
    return { steps, loss: losses, smooth };
  }

  #smoothed(loss, steps) {
    if (loss === null) return null;
    const kept = this.decay ** steps;
    this.sum = kept * this.sum + (1 - kept) * loss;
    this.mass = kept * this.mass + (1 - kept);
    return this.sum / this.mass;
  }

  // Thins what is older than the tail; true if it did, and then the whole curve has to be drawn anew.
  thin() {
    if (this.steps.length <= LossCurve.LIMIT) return false;
    const old = this.steps.length - LossCurve.TAIL;
    // powers of two, so that the stretches of an earlier thinning fit into those of a later one
    const room = 0.8 * (LossCurve.LIMIT - LossCurve.TAIL);
    const stretch = 2 ** Math.max(1, Math.ceil(Math.log2(this.steps[old - 1] / room)));
    const groups = [];
    for (let place = 0; place < old; place += 1) {
      const group = Math.floor((this.steps[place] - 1) / stretch);
      if (!groups.length || groups[groups.length - 1].group !== group) groups.push({ group, members: [] });
      groups[groups.length - 1].members.push(place);
    }
    const means = groups.map(({ members }) => this.#mean(members));
    this.steps = means.map((point) => point.step).concat(this.steps.slice(old));
    this.loss = means.map((point) => point.loss).concat(this.loss.slice(old));
    this.smooth = means.map((point) => point.smooth).concat(this.smooth.slice(old));
    return true;
  }

  #mean(places) {
    let sum = 0;
    let weight = 0;
    for (const place of places) {
      const steps = this.steps[place] - (place ? this.steps[place - 1] : 0);
      if (this.loss[place] === null) continue;
      sum += steps * this.loss[place];
      weight += steps;
    }
    const end = places[places.length - 1];
    return { step: this.steps[end], loss: weight ? sum / weight : null, smooth: this.smooth[end] };
  }
}

// What the probes said at each moment: bounded too, the first and the newest always kept.
class ProbeHistory {
  static LIMIT = 600;

  constructor() {
    this.clear();
  }

  clear() {
    this.sentences = [];
    this.moments = []; // {step, answers: [per sentence: [per mask: {top, watched}]]}
  }

  add(sentences, probed) {
    if (sentences.length) this.sentences = sentences;
    for (const [step, answers] of probed) {
      while (this.moments.length && this.newest.step >= step) this.moments.pop(); // a resumed run probes again
      this.moments.push({ step, answers });
    }
    if (this.moments.length > ProbeHistory.LIMIT) {
      const end = this.moments.length - 1;
      this.moments = this.moments.filter((_, place) => place % 2 === 0 || place === end);
    }
  }

  get newest() {
    return this.moments[this.moments.length - 1];
  }

  // The words worth a line for one sentence: the watched ones, else those that lead now or led at the start.
  words(sentence, limit) {
    const found = [];
    const note = (mask, word, watched) => {
      if (!found.some((other) => other.mask === mask && other.word === word)) found.push({ mask, word, watched });
    };
    const now = this.newest.answers[sentence] || [];
    now.forEach(({ watched }, mask) => watched.forEach(([word]) => note(mask, word, true)));
    if (!found.length) {
      const start = this.moments[0].answers[sentence] || [];
      start.forEach(({ top }, mask) => top.slice(0, 1).forEach(([word]) => note(mask, word, false)));
      now.forEach(({ top }, mask) => top.slice(0, 3).forEach(([word]) => note(mask, word, false)));
    }
    return found.slice(0, limit);
  }

  // p(word) at every moment; null where the word was not among those recorded.
  line(sentence, { mask, word, watched }) {
    const y = this.moments.map(({ answers }) => {
      const list = answers[sentence]?.[mask]?.[watched ? 'watched' : 'top'] || [];
      const entry = list.find(([other]) => other === word);
      return entry ? entry[1] : null;
    });
    return { x: this.moments.map(({ step }) => step), y };
  }
}

// --- the Plotly figure: what is drawn and in which colours; knows nothing of the server

// Plotly reads a little HTML in names; a word of the reader's is text.
const plain = (text) => {
  const short = text.length > 28 ? `${text.slice(0, 27)}…` : text;
  return short.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
};

const WORD_LINES = [
  { color: '--word-1', dash: 'solid', symbol: 'circle' },
  { color: '--word-2', dash: 'dash', symbol: 'square' },
  { color: '--word-3', dash: 'dot', symbol: 'triangle-up' },
  { color: '--word-4', dash: 'dashdot', symbol: 'diamond' },
  { color: '--word-5', dash: 'longdash', symbol: 'x' },
];

class LossFigure {
  constructor(plotly, node) {
    this.plotly = plotly;
    this.node = node;
    this.scale = 'linear';
    this.run = '';
    this.zoom = 0; // changes when the reader asks for the whole run
  }

  color(name) {
    return getComputedStyle(this.node).getPropertyValue(name).trim();
  }

  // Draws everything; what the reader zoomed into stays, because `uirevision` stays.
  draw(view) {
    return this.plotly.react(this.node, this.#traces(view), this.#layout(view), {
      displayModeBar: false,
      responsive: false,
      doubleClick: 'reset',
      scrollZoom: false,
    });
  }

  // Appends new steps to the two training lines and leaves the rest alone.
  extend(points) {
    const x = [points.steps, points.steps];
    return this.plotly.extendTraces(this.node, { x, y: [points.loss, points.smooth] }, [0, 1]);
  }

  resize() {
    if (this.node.clientWidth) this.plotly.Plots.resize(this.node);
  }

  close() {
    this.plotly.purge(this.node);
  }

  #traces({ curve, evaluated, general, words }) {
    const tuned = this.color('--tuned');
    const marked = (points, name, marker, line) => ({
      x: points.map(([step]) => step),
      y: points.map(([, loss]) => loss),
      name,
      mode: 'lines+markers',
      marker,
      line,
      visible: points.length > 0,
      hovertemplate: '%{y:.3f}',
    });
    const heldOut = this.color('--held-out');
    const grey = this.color('--muted');
    const one = curve.steps.length === 1;
    return [
      { x: [...curve.steps], y: [...curve.loss], name: 'this step', mode: one ? 'markers' : 'lines',
        line: { color: tuned, width: 1 }, opacity: 0.4, hovertemplate: '%{y:.3f}' },
      { x: [...curve.steps], y: [...curve.smooth], name: 'smoothed', mode: 'lines',
        line: { color: tuned, width: 3 }, hovertemplate: '%{y:.3f}' },
      marked(evaluated, 'held-out', { color: heldOut, size: 9 }, { color: heldOut, width: 1.5, dash: 'dot' }),
      marked(general, 'general English', { color: grey, size: 8, symbol: 'diamond' }, { color: grey, width: 1, dash: 'dot' }),
      ...words.map((word, place) => this.#wordTrace(word, place)),
    ];
  }

  #wordTrace({ x, y, name }, place) {
    const look = WORD_LINES[place % WORD_LINES.length];
    const color = this.color(look.color);
    return {
      x, y, name: plain(name), yaxis: 'y2', mode: x.length > this.node.clientWidth / 30 ? 'lines' : 'lines+markers',
      line: { color, dash: look.dash, width: 2 }, marker: { color, symbol: look.symbol, size: 6 },
      hovertemplate: '%{y:.1%}',
    };
  }

  // A line where the run's patience ended; why is said in words below the chart.
  #endedEarly(endedEarly, size) {
    if (!endedEarly) return {};
    const color = this.color('--held-out');
    const [x] = endedEarly;
    return {
      shapes: [{ type: 'line', x0: x, x1: x, yref: 'paper', y0: 0, y1: 1, line: { color, width: 1.5, dash: 'dash' } }],
      annotations: [{ x, y: 1, yref: 'paper', yanchor: 'top', xanchor: 'left', xshift: 4, showarrow: false,
        text: 'ended early', font: { color, size } }],
    };
  }

  #layout({ curve, evaluated, total, words, endedEarly }) {
    const drawn = curve.steps.length + evaluated.length > 0;
    const size = parseFloat(getComputedStyle(this.node).fontSize) || 13;
    const split = words.length > 0;
    const axis = {
      gridcolor: this.color('--chart-grid'), linecolor: this.color('--chart-grid'), zeroline: false,
      tickfont: { size }, showticklabels: drawn,
    };
    const title = (text) => ({ text, font: { size }, standoff: 6 });
    return {
      ...this.#endedEarly(endedEarly, size),
      uirevision: `${this.run}/${this.zoom}`,
      paper_bgcolor: 'rgba(0,0,0,0)',
      plot_bgcolor: 'rgba(0,0,0,0)',
      font: { family: getComputedStyle(this.node).fontFamily, color: this.color('--muted'), size },
      margin: { l: size * 3.8, r: size, t: 8, b: size * 3.2 },
      showlegend: false,
      hovermode: 'x unified',
      hoversubplots: 'axis',
      hoverlabel: { bgcolor: this.color('--chart-hover'), bordercolor: this.color('--chart-grid'),
        font: { color: this.color('--ink'), size } },
      dragmode: window.matchMedia('(pointer: coarse)').matches ? false : 'zoom',
      xaxis: { ...axis, title: title('step'), anchor: split ? 'y2' : 'y', unifiedhovertitle: { text: 'step %{x}' },
        autorangeoptions: total ? { include: [-0.01 * total, 1.01 * total] } : {}, tickformat: ',d', nticks: this.node.clientWidth < 500 ? 5 : 10 },
      yaxis: { ...axis, title: title('loss (nats)'), type: this.scale, domain: split ? [0.44, 1] : [0, 1],
        uirevision: `${this.run}/${this.zoom}/${this.scale}`, nticks: 6, ...(this.scale === 'log' ? { dtick: 'D1' } : {}) },
      yaxis2: { ...axis, title: title('p(word)'), domain: split ? [0, 0.36] : [0, 0.01], visible: split,
        rangemode: 'tozero', tickformat: '.0%', nticks: 4, autorangeoptions: { clipmin: 0, clipmax: 1.02 } },
    };
  }
}

// --- the ladders under the chart: for each of the reader's sentences the five likeliest words, kept up to date in place.
// Every word and sentence is somebody's text: it enters the page through textContent only.

function make(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  parent.appendChild(node);
  return node;
}

const percent = (share) => {
  if (share === 0 || share === 1) return `${100 * share}%`;
  if (share < 0.001) return '< 0.1%';
  if (share >= 0.9995) return '> 99.9%';
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

// --- the chart: asks the server by cursor, keeps the page's words up to date, and feeds the figure.

const STATES = {
  idle: ['○', 'No run'],
  queued: ['⋯', 'Queued'],
  preparing: ['◌', 'Preparing'],
  training: ['▶', 'Training'],
  stopping: ['◐', 'Stopping'],
  stopped: ['■', 'Stopped'],
  finished: ['✓', 'Finished'],
  failed: ['✕', 'Failed'],
  interrupted: ['!', 'Interrupted'],
  damaged: ['✕', 'Damaged'],
  missing: ['?', 'Not found'],
  offline: ['!', 'No connection'],
};
const LIVE = ['queued', 'preparing', 'training', 'stopping']; // what a run is called until it has ended
const FAST = 500; // ms between two questions until the curve has begun
const STEADY = 1000; // then: drawing takes a core that a laptop's training wants too
const SLOW = 4000; // otherwise: a run may be resumed, or started elsewhere
const SPOKEN_EVERY = 10000; // ms between two sentences for a screen reader

class LiveChart {
  constructor(root) {
    this.part = (name) => root.querySelector(`.live-${name}`);
    this.root = root.querySelector('.live');
    this.curve = new LossCurve();
    this.history = new ProbeHistory();
    this.ladders = new ProbeLadders(this.part('probes'), () => this.drawAll());
    this.figure = null;
    this.pending = 0;
    this.failures = 0;
    this.spokenAt = 0;
    this.follow(props.value || '');
  }

  // Another run: everything drawn belongs to the old one.
  follow(runId) {
    this.runId = runId;
    this.state = '';
    this.reset(0);
    this.drawAll();
    this.soon(0);
  }

  reset(total) {
    this.cursor = 0;
    this.total = total;
    this.curve.clear(total);
    this.history.clear();
    this.ladders.clear();
    this.evaluated = [];
    this.general = [];
    this.epoch = null;
    this.about = null;
    this.endedEarly = null;
    this.part('warnings').replaceChildren();
    this.part('warnings').hidden = true;
    this.part('caption').textContent = '';
  }

  soon(delay) {
    clearTimeout(this.pending);
    this.pending = setTimeout(() => this.ask(), delay);
  }

  async ask() {
    if (!this.root.isConnected) return this.close();
    if (document.hidden || !this.root.offsetParent) return this.soon(STEADY);
    if (this.asking) return undefined;
    this.asking = true;
    const asked = this.runId;
    let answer = null;
    try {
      answer = await this.news(asked);
      this.failures = 0;
    } catch (error) {
      this.failures += 1;
      this.show('offline', 'The server does not answer; trying again. Training goes on without this page.');
    } finally {
      this.asking = false;
    }
    if (answer && asked === this.runId) await this.drawn(() => this.take(answer)); // else another run was chosen meanwhile
    const busy = LIVE.includes(this.state);
    const begun = this.curve.steps.length > 1;
    const wait = this.failures ? Math.min(10000, 1000 * 2 ** this.failures) : !busy ? SLOW : begun ? STEADY : FAST;
    return this.soon(asked === this.runId ? wait : 0);
  }

  async news(run) {
    const source = new URL(`live/${run || 'newest'}?cursor=${this.cursor}`, document.baseURI);
    const response = await fetch(source, { cache: 'no-store' });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return response.json();
  }

  take(answer) {
    if (!this.runId && answer.run_id) {
      this.unchosen = true;
      this.runId = answer.run_id; // none was chosen: the newest is answered, and followed from now on
      props.value = this.runId; // so that handlers of the page, such as Stop, know it too
    }
    if (answer.from !== this.cursor) this.reset(answer.total); // the run was resumed: its history begins anew
    if (this.total !== answer.total && !this.curve.steps.length) this.curve.clear(answer.total);
    this.total = answer.total;
    this.cursor = answer.to;
    this.epoch = answer.epoch ?? this.epoch;
    this.about = answer.about ?? this.about;
    this.endedEarly = answer.ended_early ?? this.endedEarly;
    this.evaluated.push(...answer.evaluated);
    this.general.push(...answer.general);
    this.history.add(answer.sentences, answer.probed);
    answer.warnings.forEach((text) => {
      make('li', '', this.part('warnings')).textContent = text;
      this.part('warnings').hidden = false;
    });
    this.drawn(() => this.feed(answer));
    const before = this.state;
    this.show(answer.state, this.worded(answer), answer.done);
    this.lookAround(answer, before !== this.state);
  }

  // The other runs: their list is out of date when one of them has changed, and where none was chosen the next one at
  // work is followed once this one is over.
  lookAround({ at_work: atWork, pulse }, told) {
    if (pulse === undefined) return;
    if (this.pulse !== undefined && pulse !== this.pulse && !told) trigger('others_changed');
    this.pulse = pulse;
    const over = !LIVE.includes(this.state);
    if (this.unchosen && over && atWork && atWork !== this.runId) {
      props.value = atWork;
      this.follow(atWork);
    }
  }

  // A fault in drawing is one of ours, or of the browser: it is said as such, and what is in words goes on.
  async drawn(draw) {
    try {
      await draw();
    } catch (error) {
      console.error('The live chart could not be drawn:', error);
      this.part('empty').textContent = `The chart could not be drawn (${error.message}); the words and numbers go on.`;
      this.part('empty').hidden = false;
    }
  }

  // "epoch 2 of 3 · step 118 of 190 · ..." while it trains
  worded({ state, words }) {
    if (state !== 'training' || !this.epoch || !this.about) return words;
    return `epoch ${this.epoch} of ${this.about.epochs} · ${words}`;
  }

  feed(answer) {
    const first = !this.curve.steps.length;
    const points = this.curve.add(answer.steps, answer.loss);
    const more = answer.evaluated.length + answer.general.length + answer.probed.length;
    if (this.curve.thin() || more || answer.ended_early || first) return this.drawAll();
    return points.steps.length && this.figure ? this.figure.extend(points) : undefined;
  }

  charted() {
    if (!this.history.moments.length) return [];
    const several = this.history.newest.answers[this.ladders.chosen]?.length > 1;
    return this.history.words(this.ladders.chosen, WORD_LINES.length).map((word) => ({
      name: several ? `${word.word} (blank ${word.mask + 1})` : word.word,
      ...this.history.line(this.ladders.chosen, word),
    }));
  }

  drawAll() {
    const words = this.charted();
    this.ladders.update(this.history, words);
    this.part('key-general').hidden = !this.general.length;
    this.part('empty').hidden = this.curve.steps.length + this.evaluated.length > 0;
    if (!this.figure) return undefined;
    this.figure.run = this.runId;
    const { curve, evaluated, general, total, endedEarly } = this;
    return this.figure.draw({ curve, evaluated, general, total, words, endedEarly });
  }

  show(state, words, done) {
    const [glyph, name] = STATES[state] || ['?', state];
    this.root.dataset.state = state;
    this.part('glyph').textContent = glyph;
    this.part('state-name').textContent = name;
    this.part('words').textContent = words;
    if (done !== undefined) this.showBar(done);
    const caption = this.caption();
    if (caption) this.part('caption').textContent = caption;
    const changed = state !== this.state;
    if (changed || Date.now() - this.spokenAt > SPOKEN_EVERY) this.speak(`${name}. ${changed ? words : ''} ${caption}`);
    if (changed) {
      this.state = state;
      if (state !== 'offline') trigger('state_changed', { run_id: this.runId, state });
    }
  }

  showBar(done) {
    const share = Math.round(100 * Math.min(1, done));
    this.part('bar').setAttribute('aria-valuenow', String(share));
    this.part('bar').firstElementChild.style.width = `${share}%`;
  }

  speak(text) {
    this.spokenAt = Date.now();
    if (this.part('spoken').textContent !== text) this.part('spoken').textContent = text;
  }

  // "Step 118: training loss 2.31 (mean of the last 8 steps or so 2.35), held-out loss 2.45, at the start 2.90."
  caption() {
    const { steps, loss, smooth, window: width } = this.curve;
    const end = steps.length - 1;
    const parts = [];
    if (end >= 0 && loss[end] !== null) {
      parts.push(`training loss ${loss[end].toFixed(2)} (smoothed over about ${width} steps: ${smooth[end].toFixed(2)})`);
    }
    if (this.evaluated.length) {
      const start = this.evaluated[0][1];
      const now = this.evaluated[this.evaluated.length - 1][1];
      if (now !== null) parts.push(`held-out loss ${now.toFixed(2)}`);
      if (this.evaluated.length > 1 && start !== null) parts.push(`before training ${start.toFixed(2)}`);
    }
    if (!parts.length) return '';
    const why = this.endedEarly ? ` ${this.endedEarly[1]}` : '';
    return `Step ${this.curve.last.toLocaleString('en')}: ${parts.join(', ')}.${why}`;
  }

  async start(source) {
    this.listen();
    await this.drawn(async () => {
      this.figure = new LossFigure(await loadPlotly(source), this.part('plot'));
      await this.drawAll();
    });
  }

  listen() {
    this.observers = [new MutationObserver(() => this.drawAll()), new ResizeObserver(() => this.figure?.resize())];
    this.observers[0].observe(document.body, { attributes: true, attributeFilter: ['class'] });
    this.observers[1].observe(this.part('canvas'));
    this.onVisible = () => document.hidden || this.soon(0);
    document.addEventListener('visibilitychange', this.onVisible);
    this.root.querySelectorAll('[data-scale]').forEach((button) => {
      button.addEventListener('click', () => this.setScale(button.dataset.scale));
    });
    this.part('whole').addEventListener('click', () => {
      if (this.figure) this.figure.zoom += 1;
      this.drawAll();
    });
  }

  setScale(scale) {
    if (this.figure) this.figure.scale = scale;
    this.root.querySelectorAll('[data-scale]').forEach((button) => {
      button.setAttribute('aria-pressed', String(button.dataset.scale === scale));
    });
    this.drawAll();
  }

  close() {
    clearTimeout(this.pending);
    this.observers.forEach((observer) => observer.disconnect());
    document.removeEventListener('visibilitychange', this.onVisible);
    this.figure?.close();
    return undefined;
  }
}

const chart = new LiveChart(element);
watch('value', () => {
  const runId = props.value || '';
  if (runId === chart.runId) return; // what the chart chose by itself
  chart.unchosen = false;
  chart.follow(runId);
});
chart.start(new URL(props.plotly_src, document.baseURI).href);
