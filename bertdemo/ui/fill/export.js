// What a reader takes along from the fill tab: the link, a file, and the bars as they stand on the page.

// `view` is the open view of "Look inside".
async function copyLink(text, strip, model, compared, topK, view) {
  const link = new URL(location.href);
  const set = (name, value) => (value ? link.searchParams.set(name, value) : link.searchParams.delete(name));
  const edited = strip?.edited && strip.text === text;
  const hidden = Object.entries(strip?.originals ?? {}).map(([place, original]) => `${place}:${original.id}`);
  set('text', text); set('model', model); set('compare', compared === 'none' ? '' : compared);
  set('words', String(topK)); set('view', view);
  set('ids', edited ? strip.ids.join('.') : ''); set('hidden', edited ? hidden.join('.') : '');
  history.replaceState(null, '', link);
  const button = document.querySelector('#copy-link');
  const name = button.textContent;
  try {
    await navigator.clipboard.writeText(link.href);
    button.textContent = 'Link copied';
  } catch (error) {
    button.textContent = 'The link is in the address bar';
  }
  setTimeout(() => { button.textContent = name; }, 2500);
}

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function saveFile(file) {
  if (file) save(new Blob([file.text], { type: file.type }), file.name);
}

// A copy of an element that looks alike outside the page, in the page's light colours.
function copied(shown) {
  const nodes = (root) => [root, ...root.querySelectorAll('*')];
  const copy = shown.cloneNode(true);
  const dark = document.body.classList.contains('dark');
  document.body.classList.remove('dark');
  const copies = nodes(copy);
  nodes(shown).forEach((node, place) => {
    const style = getComputedStyle(node);
    copies[place].style.cssText = [...style].map((name) => `${name}:${style.getPropertyValue(name)}`).join(';');
  });
  document.body.classList.toggle('dark', dark);
  return copy;
}

async function savePicture(text) {
  const shown = document.querySelector('#fill-bars .bars');
  if (!shown) return;
  const margin = 24;
  const page = document.createElement('div');
  page.setAttribute('xmlns', 'http://www.w3.org/1999/xhtml');
  const title = document.createElement('p');
  title.textContent = text;
  title.style.cssText = 'font: 700 18px sans-serif; color: #1c2430; margin: 0 0 16px; overflow-wrap: anywhere';
  page.append(title, copied(shown));
  page.style.cssText = `width: ${shown.clientWidth}px; padding: ${margin}px; background: #fff`;
  document.body.append(page); // for its height, and gone before it is painted
  const [width, height] = [page.offsetWidth, page.offsetHeight];
  page.remove();
  const inside = new XMLSerializer().serializeToString(page);
  const whole = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">`
    + `<foreignObject width="100%" height="100%">${inside}</foreignObject></svg>`;
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(whole)}`;
  await picture.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: 2 * width, height: 2 * height });
  canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, 'predictions.png'));
}
