// A figure that stays where it is: one node, drawn anew in place whenever its value changes.
// Gradio runs this text as a function with `element`, `props` and `watch`; PLOTLY_SOURCE stands before it.

class Figure {
  constructor(root) {
    this.root = root.querySelector('.figure');
    this.node = root.querySelector('.figure-plot');
    this.asked = null; // the value that is being drawn
    this.drawn = false;
    root.querySelector('.figure-save').addEventListener('click', () => this.save());
    new ResizeObserver(() => this.fit()).observe(this.node);
    this.take();
  }

  async take() {
    const figure = props.value;
    this.asked = figure;
    this.root.hidden = !figure;
    if (!figure) return;
    this.node.style.height = `${figure.layout.height}px`; // the room is there before the picture is
    this.node.setAttribute('aria-label', figure.label);
    const plotly = await loadPlotly(PLOTLY_SOURCE);
    if (this.asked !== figure) return; // another one came meanwhile
    await plotly.react(this.node, figure.data, { ...figure.layout, autosize: true }, { displayModeBar: false });
    this.drawn = true;
    this.fit();
  }

  async fit() {
    if (!this.drawn || !this.node.clientWidth || this.node.clientWidth === this.node._fullLayout?.width) return;
    (await loadPlotly(PLOTLY_SOURCE)).Plots.resize(this.node);
  }

  async save() {
    const { data, layout, file } = this.asked;
    savePicture(await loadPlotly(PLOTLY_SOURCE), { data, layout }, { name: file, width: this.node.clientWidth });
  }
}

const figure = new Figure(element);
watch('value', () => figure.take());
