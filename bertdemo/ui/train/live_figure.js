// The Plotly figure: what is drawn and in which colours. Knows nothing of the server.

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

  #layout({ curve, evaluated, total, words }) {
    const drawn = curve.steps.length + evaluated.length > 0;
    const size = parseFloat(getComputedStyle(this.node).fontSize) || 13;
    const split = words.length > 0;
    const axis = {
      gridcolor: this.color('--chart-grid'), linecolor: this.color('--chart-grid'), zeroline: false,
      tickfont: { size }, showticklabels: drawn,
    };
    const title = (text) => ({ text, font: { size }, standoff: 6 });
    return {
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
