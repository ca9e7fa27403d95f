// A card in the corner that goes from stop to stop: opens lessons, presses, frames; tabs and
// sentences it leaves to the page (`stop`). It is not modal,
// so the page stays usable; Escape or Skip ends it. Finished tours are remembered in this browser.
const SEEN = 'bertdemo-tours';
const HOME = 'learn'; // the tab with the list of tours
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

const pause = () => new Promise((done) => setTimeout(done, 100));

const appeared = async (selector, giveUp) => {
  const end = Date.now() + PATIENCE;
  while (Date.now() < end && !giveUp()) {
    const node = [...document.querySelectorAll(selector)].find(shown);
    if (node) return node;
    await pause();
  }
  return null;
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

  // What the reader had written, to be put back unless it was changed on the way; the last thing that the tour wrote.
  const box = () => document.querySelector('#fill-text textarea');
  const own = box()?.value;
  let written = null;

  const unframe = () => { if (framed) framed.removeAttribute('data-tour-framed'); framed = null; };
  const frame = (node) => { unframe(); framed = node; node.setAttribute('data-tour-framed', ''); }; // no class: the page rewrites those
  const bring = (node) => {
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const tall = node.offsetHeight > (innerHeight - card.offsetHeight) / 2; // in the middle the card would cover it
    node.scrollIntoView({ block: tall ? 'start' : 'center', behavior: calm ? 'auto' : 'smooth' });
  };
  // The card goes up where it would lie on what it speaks of, unless it would lie on it there as well.
  const stepAside = (at) => {
    const height = card.offsetHeight + 20;
    const below = at.bottom > innerHeight - height && at.right > card.getBoundingClientRect().left;
    card.classList.toggle('above', below && at.top > height);
  };
  const onKey = (event) => { if (event.key === 'Escape') leave(); };
  leave = () => {
    visit += 1;
    unframe();
    card.remove();
    document.removeEventListener('keydown', onKey);
    leave = null;
    // Back to where the tour was started, with the reader's own sentence in the box.
    trigger('stop', { tab: HOME, write: written !== null && own && box()?.value === written ? own : '' });
    document.querySelector('#open-tours')?.click();
  };

  const act = async (stop, mine) => {
    const gone = () => mine !== visit;
    if (stop.write) written = stop.write;
    if (stop.tab || stop.write) trigger('stop', { tab: stop.tab, write: stop.write });
    if (stop.lesson) (await appeared(`#open-${stop.lesson}`, gone))?.click();
    if (stop.press) (await appeared(stop.press, gone))?.click();
    const settled = Date.now() + PATIENCE; // afterwards the page scrolls for nobody but the reader
    let place = '';
    while (stop.look && !gone()) { // a lesson that answers anew writes its parts anew, and the frame would be lost
      const node = framed?.isConnected ? framed : await appeared(stop.look, gone);
      if (node && !gone()) {
        if (!node.hasAttribute('data-tour-framed')) frame(node);
        const at = node.getBoundingClientRect(), now = `${Math.round(at.top + scrollY)} ${Math.round(at.height)}`;
        if (now !== place && Date.now() < settled) bring(node);
        place = now;
        stepAside(at);
      }
      await pause();
    }
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
element.setAttribute('data-ready', ''); // from here on a press is heard
