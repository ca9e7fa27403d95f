// The points of one run. Knows neither Plotly nor the page.

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
