// Plotly.js for every chart of ours: loaded once a page, from the Python package, when the first chart wants it.

// Kept apart from the one that Gradio brings for its own plots.
function loadPlotly(source) {
  window.bertdemoPlotly ??= new Promise((resolve, reject) => {
    const others = window.Plotly;
    const script = document.createElement('script');
    script.src = source;
    script.onload = () => {
      const ours = window.Plotly;
      if (others) window.Plotly = others;
      resolve(ours);
    };
    script.onerror = () => {
      window.bertdemoPlotly = undefined;
      reject(new Error('the chart library did not load'));
    };
    document.head.appendChild(script);
  });
  return window.bertdemoPlotly;
}

// A figure as a PNG file: on white with dark letters, whatever the page looks like.
function savePicture(plotly, { data, layout }, { name, width }) {
  const onWhite = { paper_bgcolor: '#ffffff', plot_bgcolor: '#ffffff', font: { ...layout.font, color: '#1c2430' } };
  const picture = { data, layout: { ...layout, ...onWhite, width } };
  return plotly.downloadImage(picture, { format: 'png', filename: name, width, height: layout.height, scale: 2 });
}
