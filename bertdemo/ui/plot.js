// A figure that stays where it is: one node, drawn anew in place whenever its value or the look of the page changes.
// Gradio runs this text as a function with `element`, `props` and `watch`; PLOTLY_SOURCE stands before it.

class Figure {
  constructor(root) {
    this.root = root.querySelector('.figure');
    this.node = root.querySelector('.figure-plot');
    this.asked = null; // the value that is being drawn
    this.drawn = false;
    root.querySelector('.figure-save').addEventListener('click', () => this.save());
    new ResizeObserver(() => this.fit()).observe(this.node);
    new MutationObserver(() => this.take()).observe(document.body, { attributeFilter: ['class'] }); // dark, large type
    this.take();
  }

  async take() {
    const figure = props.value;
    this.asked = figure;
    this.root.hidden = !figure;
    if (!figure) return;
    this.node.style.height = `${figure.layout.height}px`; // the room is there before the picture is
    this.node.style.minWidth = figure.layout.width ? `${figure.layout.width}px` : '';
    this.node.setAttribute('aria-label', figure.label);
    const plotly = await loadPlotly(PLOTLY_SOURCE);
    if (this.asked !== figure) return; // another one came meanwhile
    await plotly.react(this.node, figure.data, this.onPage(figure.layout), { displayModeBar: false });
    this.drawn = true;
    this.fit();
  }

  // The layout with the page's own letters and grid, as wide as there is room.
  onPage({ width, ...layout }) {
    const style = getComputedStyle(this.root);
    const color = style.getPropertyValue('--ink').trim();
    const gridcolor = style.getPropertyValue('--chart-grid').trim();
    const size = Math.max(layout.font.size, parseFloat(style.getPropertyValue('--chart-text')));
    const named = Object.keys(layout).filter((name) => /^[xy]axis/.test(name));
    const axes = Object.fromEntries(named.map((name) => [name, { ...layout[name], gridcolor }]));
    return { ...layout, ...axes, autosize: true, font: { ...layout.font, color, size } };
  }

  async fit() {
    if (!this.drawn || !this.node.clientWidth || this.node.clientWidth === this.width) return;
    this.width = this.node.clientWidth;
    (await loadPlotly(PLOTLY_SOURCE)).Plots.resize(this.node);
  }

  async save() {
    const { data, layout, file } = this.asked;
    savePicture(await loadPlotly(PLOTLY_SOURCE), { data, layout }, { name: file, width: this.node.clientWidth });
  }
}

const figure = new Figure(element);
watch('value', () => figure.take());
