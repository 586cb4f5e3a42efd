// The live search of the front page. Nothing is loaded until a visitor reaches for the box.
const BOX = '.live-search';

/** Replace the plain input of `box` by the search element, and take over what was typed meanwhile. */
async function start(box) {
  const input = box.querySelector('input');
  if (!input || box.dataset.loading) return;
  box.dataset.loading = 'yes';
  const base = new URL('icons/', document.baseURI).href;
  await import(`${base}embedding-search.js`);
  const search = document.createElement('embedding-search');
  search.setAttribute('base', base);
  search.setAttribute('label', box.querySelector('label').textContent);
  search.setAttribute('placeholder', input.placeholder);
  search.setAttribute('service-worker', 'off');
  input.before(search);
  await search.updateComplete;
  search.value = input.value; // Typed until now
  await search.updateComplete;
  search.input.focus(); // Unlike `search.focus()`, this keeps the caret behind the text
  input.remove();
}

/** Search for `text` as if it was typed. */
async function ask(box, text) {
  const input = box.querySelector('input');
  if (input) input.value = text;
  await start(box);
  box.querySelector('embedding-search').value = text;
}

document.addEventListener('focusin', (event) => {
  const box = event.target.closest(BOX);
  if (box && event.target.matches('input')) start(box);
});
document.addEventListener('click', (event) => {
  const box = event.target.closest(BOX);
  if (box && event.target.matches('button')) ask(box, event.target.textContent);
});
