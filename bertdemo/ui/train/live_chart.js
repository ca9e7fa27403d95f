// The live chart's script: polls the server by cursor, keeps the page's words up to date, and feeds the figure.
// Gradio runs this text as a function with `element`, `trigger`, `props`, `server` and `watch`.

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
      answer = await server.poll([asked, this.cursor]);
      if (!answer) throw new Error('no answer'); // Gradio swallows what the network refuses
      this.failures = 0;
    } catch (error) {
      this.failures += 1;
      this.show('offline', 'The server does not answer; trying again. Training goes on without this page.');
    } finally {
      this.asking = false;
    }
    if (answer && asked === this.runId) await this.drawn(() => this.take(answer)); // else another run was chosen meanwhile
    const busy = ['queued', 'preparing', 'training', 'stopping'].includes(this.state);
    const begun = this.curve.steps.length > 1;
    const wait = this.failures ? Math.min(10000, 1000 * 2 ** this.failures) : !busy ? SLOW : begun ? STEADY : FAST;
    return this.soon(asked === this.runId ? wait : 0);
  }

  take(answer) {
    if (!this.runId && answer.run_id) {
      this.runId = answer.run_id; // none was chosen: the one at work is answered, and followed from now on
      props.value = this.runId; // so that handlers of the page, such as Stop, know it too
    }
    if (answer.from !== this.cursor) this.reset(answer.total); // the run was resumed: its history begins anew
    if (this.total !== answer.total && !this.curve.steps.length) this.curve.clear(answer.total);
    this.total = answer.total;
    this.cursor = answer.to;
    this.epoch = answer.epoch ?? this.epoch;
    this.about = answer.about ?? this.about;
    this.evaluated.push(...answer.evaluated);
    this.general.push(...answer.general);
    this.history.add(answer.sentences, answer.probed);
    answer.warnings.forEach((text) => {
      make('li', '', this.part('warnings')).textContent = text;
      this.part('warnings').hidden = false;
    });
    this.drawn(() => this.feed(answer));
    this.show(answer.state, this.worded(answer), answer.done);
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
    if (this.curve.thin() || more || first) return this.drawAll();
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
    const { curve, evaluated, general, total } = this;
    return this.figure.draw({ curve, evaluated, general, total, words });
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
    return parts.length ? `Step ${this.curve.last.toLocaleString('en')}: ${parts.join(', ')}.` : '';
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
watch('value', () => chart.follow(props.value || ''));
chart.start(new URL(props.plotly_src, document.baseURI).href);
