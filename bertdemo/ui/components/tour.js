// A card in the corner that goes from stop to stop: opens tabs and lessons, presses, types, frames. It is not modal,
// so the page stays usable; Escape or Skip ends it. Finished tours are remembered in this browser.
const SEEN = 'bertdemo-tours';
const PATIENCE = 4000; // milliseconds that a stop waits for what it wants to show

const seen = () => {
  try { return JSON.parse(localStorage.getItem(SEEN)) || []; } catch { return []; }
};

const remember = (key) => {
  try { localStorage.setItem(SEEN, JSON.stringify([...new Set([...seen(), key])])); } catch { /* private window */ }
  markSeen();
};

const markSeen = () => {
  const keys = seen();
  element.querySelectorAll('.tour-start').forEach((start) => {
    start.querySelector('.tour-done').hidden = !keys.includes(start.dataset.tour);
  });
};

const shown = (node) => node && node.getClientRects().length > 0;

const appeared = async (selector, giveUp) => {
  const end = Date.now() + PATIENCE;
  while (Date.now() < end && !giveUp()) {
    const node = [...document.querySelectorAll(selector)].find(shown);
    if (node) return node;
    await new Promise((done) => setTimeout(done, 100));
  }
  return null;
};

const openTab = (name) => {
  const tab = [...document.querySelectorAll('[role=tab]')].find((one) => one.textContent.trim() === name);
  if (tab && tab.getAttribute('aria-selected') !== 'true') tab.click();
};

const type = (node, words) => {
  const field = node && node.querySelector('textarea, input');
  if (!field) return;
  const prototype = field.tagName === 'TEXTAREA' ? HTMLTextAreaElement.prototype : HTMLInputElement.prototype;
  Object.getOwnPropertyDescriptor(prototype, 'value').set.call(field, words);
  field.dispatchEvent(new Event('input', { bubbles: true }));
};

const part = (name, className, words) => {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = words;
  return node;
};

let leave = null; // ends the tour that is going on

const start = (tour) => {
  if (leave) leave();
  let at = 0, visit = 0, framed = null;
  const card = part('section', 'tour-card', '');
  card.setAttribute('aria-label', `Tour: ${tour.title}`);
  const count = part('p', 'tour-count', ''), said = part('p', 'tour-said', '');
  said.setAttribute('aria-live', 'polite');
  const skip = part('button', 'tour-skip', 'Skip the tour'), back = part('button', 'tour-back', 'Back');
  const next = part('button', 'tour-next', 'Next'), buttons = part('div', 'tour-buttons', '');
  for (const button of [skip, back, next]) button.type = 'button';
  buttons.append(skip, back, next);
  card.append(count, said, buttons);
  (document.querySelector('.gradio-container') || document.body).append(card);

  const unframe = () => { if (framed) framed.removeAttribute('data-tour-framed'); framed = null; };
  const onKey = (event) => { if (event.key === 'Escape') leave(); };
  leave = () => {
    visit += 1;
    unframe();
    card.remove();
    document.removeEventListener('keydown', onKey);
    leave = null;
  };

  const act = async (stop, mine) => {
    const gone = () => mine !== visit;
    if (stop.tab) openTab(stop.tab);
    if (stop.lesson) (await appeared(`#open-${stop.lesson}`, gone))?.click();
    if (stop.press) (await appeared(stop.press, gone))?.click();
    if (stop.write) type(await appeared('#fill-text', gone), stop.write);
    const node = stop.look ? await appeared(stop.look, gone) : null;
    if (!node || gone()) return;
    framed = node;
    node.setAttribute('data-tour-framed', ''); // not a class: the page rewrites those
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    node.scrollIntoView({ block: node.offsetHeight > innerHeight / 2 ? 'start' : 'center', behavior: calm ? 'auto' : 'smooth' });
  };

  const go = (to) => {
    if (to >= tour.steps.length) { remember(tour.key); leave(); return; }
    at = Math.max(0, to);
    visit += 1;
    unframe();
    count.textContent = `${tour.title} · ${at + 1} of ${tour.steps.length}`;
    said.textContent = tour.steps[at].said;
    back.disabled = at === 0;
    next.textContent = at === tour.steps.length - 1 ? 'Done' : 'Next';
    act(tour.steps[at], visit);
  };

  skip.addEventListener('click', () => leave());
  back.addEventListener('click', () => go(at - 1));
  next.addEventListener('click', () => go(at + 1));
  document.addEventListener('keydown', onKey);
  go(0);
  next.focus({ preventScroll: true });
};

element.addEventListener('click', (event) => {
  const chosen = event.target.closest('.tour-start');
  if (chosen && props.tours[chosen.dataset.tour]) start(props.tours[chosen.dataset.tour]);
});
markSeen();
