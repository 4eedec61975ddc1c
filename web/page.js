// Asks for the newest and writes it where it belongs. What comes from the network is only ever set
// as text, never as HTML.
'use strict';

const EVERY_MS = 500;
const PICTURE_EVERY_MS = 200;
// A server, or a network, that says nothing for so long is gone; a browser would wait for minutes.
const WITHIN_MS = 3000;
// Of a bin that nobody tells of.
const NOTHING = {
  bin_state: null, instances: null, picks_in_all: null, frames_per_s: null, latency_ms: null,
  latency_ms_p99: null, fill_level: null,
};
const WORDS = {
  no_reading: 'no reading', empty: 'empty', pickable: 'pickable',
  occupied_not_pickable: 'not pickable', overfilled: 'overfilled',
};
const find = (selector) => document.querySelector(selector);

function write(selector, value, digits = 0) {
  const known = value !== null && value !== undefined;
  find(selector).textContent = !known ? '–'
    : typeof value === 'number' ? value.toFixed(digits) : value;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

const number = (value, digits = 0) => typeof value === 'number' ? value.toFixed(digits) : '–';

function showBin(status) {
  const state = find('#state');
  state.className = status.bin_state in WORDS ? status.bin_state : '';
  state.textContent = status.bin_state === null ? 'bin not known'
    : WORDS[status.bin_state] ?? status.bin_state;
  write('#instances', status.instances);
  write('#picks-in-all', status.picks_in_all);
  write('#rate', status.frames_per_s, 1);
  write('#latency', status.latency_ms);
  find('#latency-99').textContent = status.latency_ms_p99 === null ? ''
    : `99 %: ${number(status.latency_ms_p99)}`;
  find('#fill').hidden = status.fill_level === null;
  find('#level').value = status.fill_level ?? 0;
  find('#fill-text').textContent = `${number(status.fill_level)} %`;
}

function showPicks(picks) {
  find('#picks tbody').replaceChildren(...picks.map((pick) => {
    const row = document.createElement('tr');
    row.append(...[
      pick.label === null ? '–' : String(pick.label), number(pick.score, 2),
      ...[pick.x, pick.y, pick.z, pick.height, pick.clearance, pick.opening].map(
        (value) => number(value)),
      pick.double ? 'two?' : '',
    ].map((text) => element('td', text)));
    return row;
  }));
}

function showRefused(status) {
  find('#refused-count').textContent = status.frames.refused === null ? ''
    : `(${number(status.frames.refused)} of ${number(status.frames.in)})`;
  const lines = status.refused.map((one) => {
    const line = document.createElement('li');
    const many = one.frames > 1 ? `${one.frames} frames: ` : '';
    line.append(element('time', new Date(1000 * one.at).toLocaleTimeString()), many + one.why);
    return line;
  });
  find('#refused ol').replaceChildren(...(lines.length ? lines : [element('li', 'none')]));
}

function showModel(status) {
  write('#model-name', [status.model, status.device, status.runtime].filter(Boolean).join(', ')
    || null);
  find('#figures').replaceChildren(...Object.entries(status.card.figures ?? {}).flatMap(
    ([name, value]) => [element('dt', name), element('dd', number(value, 3))]));
}

function show(status) {
  document.body.className = status.level;
  write('#segmenter', status.segmenter);
  write('#message', [status.state, status.message].filter(Boolean).join(': '));
  showBin(status);
  showPicks(status.picks);
  showRefused(status);
  showModel(status);
}

async function ask(path) {
  const answer = await fetch(path, {signal: AbortSignal.timeout(WITHIN_MS)});
  if (!answer.ok) throw new Error(`the page's server says ${answer.status}`);
  return answer;
}

async function askForStatus() {
  try {
    const status = await (await ask('status.json')).json();
    show(status);
    if (!status.overlay) find('#overlay').hidden = true;
  } catch (error) {
    document.body.className = 'silent';
    write('#message', `nothing is heard from the page's server (${error.message})`);
    find('#overlay').hidden = true;
    // What was true a while ago is not to be taken for what is.
    showBin(NOTHING);
    showPicks([]);
  }
  setTimeout(askForStatus, EVERY_MS);
}

// The next picture is asked for when the last has come, so that a slow network is not flooded. It is
// drawn: of pictures that are elements browsers keep hundreds.
async function askForPicture() {
  let wait_ms = PICTURE_EVERY_MS;
  try {
    const picture = await createImageBitmap(await (await ask('overlay.jpg')).blob());
    const overlay = find('#overlay');
    [overlay.width, overlay.height] = [picture.width, picture.height];
    overlay.getContext('2d').drawImage(picture, 0, 0);
    picture.close();
    overlay.hidden = false;
  } catch {
    wait_ms = EVERY_MS;
  }
  setTimeout(askForPicture, wait_ms);
}

askForStatus();
askForPicture();
