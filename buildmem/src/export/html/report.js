// Makes the page's pictures answer: the timeline its moments and ranges, the processes their details. Everything that
// it shows comes from the data in the page, and is set as text, never as markup.
(() => {
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const TICKS = 10000;          // A second, in the data's unit.
const ROW = 26;               // Height of a row of the list, as in the style sheet.
const SIGNALS = {1: 'SIGHUP', 2: 'SIGINT', 3: 'SIGQUIT', 4: 'SIGILL', 6: 'SIGABRT', 8: 'SIGFPE', 9: 'SIGKILL', 11: 'SIGSEGV', 13: 'SIGPIPE', 14: 'SIGALRM', 15: 'SIGTERM'};

// ---- Reading the data ----

const commands = [];
{
  let before = '';
  for (const [start, end, text] of data.commands) {
    before = before.slice(0, start) + text + before.slice(before.length - end);
    commands.push(before);
  }
}
const P = data.processes;
const N = P.pid.length;
const parent = new Int32Array(N), start = new Float64Array(N), end = new Float64Array(N);
const children = [];
for (let i = 0, at = 0; i < N; i++) {
  at += P.start[i];
  start[i] = at;
  end[i] = at + P.length[i];
  parent[i] = P.up[i] ? i - P.up[i] : -1;
  children.push([]);
  if (parent[i] >= 0) children[parent[i]].push(i);
}
const images = new Map(data.images);
const atPeak = new Map(data.at_peak.map(([place, pss, rss]) => [place, {pss, rss}]));
const highest = new Map(data.highest.map(([place, pss, at]) => [place, {pss, at}]));
const leftOut = new Map(data.left_out.map(([place, count, largest]) => [place, {count, largest}]));
const name = i => data.classes[P.class[i]] || 'unknown';
const stage = i => data.stages[P.stage[i]] || {name: '(other)', color: 'so'};
let searched = null;
const haystack = i => {
  searched ||= new Array(N);
  return searched[i] ||= (commands[P.command[i]] + ' ' + P.pid[i] + ' ' + stage(i).name + ' ' + name(i)).toLowerCase();
};

// ---- Words ----

function size(kib) {
  if (kib < 0) return 'unknown';
  if (kib < 1000) return kib + ' KiB';
  let value = kib / 1024, unit = 'MiB';
  for (const larger of ['GiB', 'TiB']) {
    if (value < 999.995) break;
    value /= 1024;
    unit = larger;
  }
  return value.toFixed(2) + ' ' + unit;
}
function time(ticks) {
  const s = ticks / TICKS;
  if (s < 1) return (s * 1000).toFixed(s < 0.1 ? 1 : 0) + ' ms';
  if (s < 59.995) return s.toFixed(2) + ' s';
  const whole = Math.round(s);
  if (whole < 3600) return Math.floor(whole / 60) + 'm ' + String(whole % 60).padStart(2, '0') + 's';
  const minutes = Math.round(s / 60);
  return Math.floor(minutes / 60) + 'h ' + String(minutes % 60).padStart(2, '0') + 'm';
}
// Of a moment, tenths matter in a long build as well: processes live for less.
function moment(ticks) {
  const tenths = Math.round(ticks / TICKS * 10);
  if (tenths < 600) return (ticks / TICKS).toFixed(2) + ' s';
  const rest = (tenths % 600 / 10).toFixed(1).padStart(4, '0') + 's';
  return tenths < 36000 ? Math.floor(tenths / 600) + 'm ' + rest : Math.floor(tenths / 36000) + 'h ' + String(Math.floor(tenths / 600) % 60).padStart(2, '0') + 'm ' + rest;
}
const many = (n, one, more) => n.toLocaleString('en') + ' ' + (n === 1 ? one : more);
function ending(i) {
  const exit = P.exit[i];
  if (P.flags[i] & 2) return 'killed for want of memory';
  if (exit === 999) return P.flags[i] & 1 ? 'outlived the measurement, or its end was not seen' : 'not seen how';
  if (exit < 0) return SIGNALS[-1 - exit] || 'signal ' + (-1 - exit);
  return 'exit code ' + exit;
}

// ---- Elements ----

function make(tag, attributes, ...inner) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...inner.filter(part => part !== undefined && part !== null));
  return element;
}
const dot = color => make('i', {class: 'dot ' + color});

// ---- Light and dark ----

{
  const button = $('theme'), root = document.documentElement;
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const tell = () => { button.textContent = dark() ? 'Light' : 'Dark'; button.setAttribute('aria-label', 'Switch to ' + (dark() ? 'light' : 'dark') + ' colours'); };
  button.addEventListener('click', () => { root.dataset.theme = dark() ? 'light' : 'dark'; tell(); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', tell);
  button.hidden = false;
  tell();
}

// ---- What is chosen ----

const state = {order: 'peak', query: '', range: null, selected: -1, open: new Set()};
const T = data.timeline, plot = $('plot');

function highestIn(range) {
  let best = -1, most = -1;
  const value = i => T.cgroup[i] >= 0 ? T.cgroup[i] : sum(i);
  for (let i = 0; i < T.at.length; i++) {
    if (T.at[i] >= range[0] && T.at[i] <= range[1] && value(i) > most) { most = value(i); best = i; }
  }
  return best;
}
const sum = i => T.held.reduce((total, layer) => total + layer[i], 0);

function chooseRange(range) {
  state.range = range && range[1] > range[0] ? range : null;
  showRange();
  refresh();
}

// ---- The timeline ----

let cross, tip, chosen, life, slider, cursor = -1, anchor = -1;
const percent = ticks => Math.min(100, Math.max(0, ticks / data.span * 100)) + '%';

function showRange() {
  if (!plot) return;
  const text = $('range-text'), clear = $('range-clear');
  chosen.hidden = clear.hidden = !state.range;
  if (!state.range) {
    text.textContent = 'Drag over the chart, or use Shift and the arrow keys on it, to look at a part of the build.';
    return;
  }
  const [from, to] = state.range;
  chosen.style.left = percent(from);
  chosen.style.width = (Math.min(to, data.span) - from) / data.span * 100 + '%';
  const best = highestIn(state.range);
  const held = best < 0 ? 'no sample fell into it' :
    'highest ' + size(T.cgroup[best] >= 0 ? T.cgroup[best] : sum(best)) + (T.cgroup[best] >= 0 ? '' : ' of PSS') + ' at ' + moment(T.at[best]);
  let alive = 0;
  for (let i = 0; i < N; i++) alive += start[i] <= to && end[i] >= from;
  text.textContent = moment(from) + ' – ' + moment(to) + ': ' + held + '; ' + many(alive, 'process', 'processes') + (leftOut.size ? ' of those drawn' : '');
}

function showMoment(index) {
  cursor = index;
  cross.hidden = tip.hidden = index < 0;
  if (index < 0) return;
  const at = T.at[index], right = at > data.span * 0.6;
  cross.style.left = percent(at);
  tip.style.left = right ? '' : 'calc(' + percent(at) + ' + 12px)';
  tip.style.right = right ? 'calc(' + (100 - at / data.span * 100) + '% + 12px)' : '';
  const rows = T.layers.map((layer, l) => [layer, T.held[l][index]]).filter(row => row[1] > 0).reverse();
  const line = (label, figure, kind) => make('tr', {class: kind}, make('td', {}, ...label), make('td', {}, figure));
  const body = rows.map(([layer, kib]) => line([dot(layer.color), layer.name], size(kib)));
  body.push(line(['all processes'], size(sum(index)), 'sum'));
  if (T.cgroup[index] >= 0) body.push(line(['the cgroup'], size(T.cgroup[index])));
  tip.replaceChildren(make('b', {}, moment(at)), make('table', {}, make('tbody', {}, ...body)));
  slider.setAttribute('aria-valuenow', String(at / TICKS));
  const holders = rows.slice(0, 3).map(([layer, kib]) => layer.name + ' ' + size(kib)).join(', ');
  slider.setAttribute('aria-valuetext', moment(at) + ': ' + (T.cgroup[index] >= 0 ? size(T.cgroup[index]) : size(sum(index))) + (holders ? '; ' + holders : ''));
}

// The sample that is nearest to a moment.
function nearest(ticks) {
  let low = 0, high = T.at.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (T.at[middle] < ticks) low = middle; else high = middle;
  }
  return ticks - T.at[low] < T.at[high] - ticks ? low : high;
}

if (plot) {
  cross = make('div', {class: 'cross', hidden: ''});
  chosen = make('div', {class: 'chosen', hidden: ''});
  life = make('div', {class: 'life', hidden: ''});
  tip = make('div', {class: 'tip', hidden: ''});
  // What has the keyboard lies over the plot, and lets the mouse through.
  slider = make('div', {class: 'slider', tabindex: 0, role: 'slider', 'aria-label': 'A moment of the build: arrow keys move, with Shift they choose a range, Escape ends it', 'aria-valuemin': 0, 'aria-valuemax': data.span / TICKS, 'aria-valuenow': 0});
  plot.append(chosen, life, cross, slider, tip);
  const ticksAt = event => {
    const box = plot.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * data.span;
  };
  let from = null;
  plot.addEventListener('pointerdown', event => {
    if (event.button || event.target.closest('a')) return;
    from = ticksAt(event);
    slider.focus({preventScroll: true});
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener('pointermove', event => {
    const at = ticksAt(event);
    showMoment(nearest(at));
    if (from !== null && Math.abs(at - from) > data.span / 200) { state.range = [Math.min(from, at), Math.max(from, at)]; showRange(); }
  });
  plot.addEventListener('pointerup', event => {
    if (from === null) return;
    const at = ticksAt(event);
    chooseRange(Math.abs(at - from) > data.span / 200 ? [Math.min(from, at), Math.max(from, at)] : null);
    from = null;
  });
  plot.addEventListener('pointercancel', () => { from = null; });
  plot.addEventListener('pointerleave', () => showMoment(-1));
  slider.addEventListener('blur', () => showMoment(-1));
  slider.addEventListener('keydown', event => {
    const last = T.at.length - 1, step = event.ctrlKey ? Math.ceil(last / 20) : Math.max(1, Math.round(last / 200));
    const origin = cursor < 0 ? (data.peak_at === null ? 0 : nearest(data.peak_at)) : cursor;
    const next = {ArrowLeft: origin - step, ArrowRight: origin + step, Home: 0, End: last}[event.key];
    if (event.key === 'Escape') { anchor = -1; chooseRange(null); return; }
    if (event.key === 'Enter') { $('at-peak') && $('at-peak').scrollIntoView(); return; }
    if (next === undefined) return;
    event.preventDefault();
    const index = Math.min(last, Math.max(0, next));
    if (event.shiftKey) {
      if (anchor < 0) anchor = origin;
      showMoment(index);
      chooseRange([Math.min(T.at[anchor], T.at[index]), Math.max(T.at[anchor], T.at[index])]);
    } else {
      anchor = -1;
      showMoment(index);
    }
  });
  $('range').hidden = false;
  $('range-clear').addEventListener('click', () => { anchor = -1; chooseRange(null); slider.focus(); });
  showRange();
}

// ---- Who held it at the peak ----

// Rectangles of these areas, none of them thin where it can be helped (Bruls, Huizing, van Wijk: squarified treemaps).
function squarified(values, x, y, width, height) {
  const boxes = [], total = values.reduce((a, b) => a + b, 0);
  let scale = total > 0 ? width * height / total : 0, at = 0;
  while (at < values.length) {
    const side = Math.min(width, height);
    let row = 0, until = at, worst = Infinity;
    while (until < values.length) {
      const grown = row + values[until] * scale;
      const ratio = Math.max(side * side * values[at] * scale / (grown * grown), grown * grown / (side * side * Math.max(values[until] * scale, 1e-9)));
      if (ratio > worst) break;
      worst = ratio;
      row = grown;
      until++;
    }
    const thick = side > 0 ? row / side : 0;
    let along = 0;
    for (; at < until; at++) {
      const length = thick > 0 ? values[at] * scale / thick : 0;
      boxes.push(width >= height ? [x, y + along, thick, length] : [x + along, y, length, thick]);
      along += length;
    }
    if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    if (!(width > 0 && height > 0)) { while (boxes.length < values.length) boxes.push([x, y, 0, 0]); break; }
  }
  return boxes;
}

function drawTreemap() {
  const map = $('treemap');
  if (!map || !atPeak.size) return;
  map.hidden = false;
  const width = map.clientWidth, height = map.clientHeight, groups = new Map();
  for (const [i, held] of atPeak) {
    if (held.pss <= 0) continue;
    const key = P.stage[i], group = groups.get(key) || {sum: 0, of: []};
    group.of.push(i);
    group.sum += held.pss;
    groups.set(key, group);
  }
  const sorted = [...groups.values()].sort((a, b) => b.sum - a.sum);
  const outer = squarified(sorted.map(group => group.sum), 0, 0, width, height);
  const tiles = [];
  sorted.forEach((group, g) => {
    group.of.sort((a, b) => atPeak.get(b).pss - atPeak.get(a).pss);
    const boxes = squarified(group.of.map(i => atPeak.get(i).pss), ...outer[g]);
    group.of.forEach((i, place) => {
      const [x, y, w, h] = boxes[place];
      if (w < 2.5 || h < 2.5) return;
      const held = size(atPeak.get(i).pss);
      const text = name(i) + ', ' + held + ', ' + stage(i).name + ', pid ' + P.pid[i];
      const roomy = w > 54 && h > 36;
      const tile = make('button', {type: 'button', class: 'tile ' + stage(i).color, title: text, 'aria-label': text, 'aria-pressed': String(i === state.selected), 'data-process': i, onclick: () => select(i, true)},
        ...(roomy ? [make('b', {}, name(i)), make('span', {}, held)] : []));
      Object.assign(tile.style, {left: x + 1 + 'px', top: y + 1 + 'px', width: Math.max(1, w - 2) + 'px', height: Math.max(1, h - 2) + 'px'});
      tiles.push(tile);
    });
  });
  map.setAttribute('role', 'group');
  map.setAttribute('aria-label', 'Processes at the peak, as areas by PSS');
  map.replaceChildren(...tiles);
}

// ---- The processes ----

let rows = [], view, space, list, count, axis, details;

function refresh() {
  if (!list) return;
  const query = state.query.trim().toLowerCase(), range = state.range;
  const words = query ? query.split(/\s+/) : [];
  const fits = i => (!range || start[i] <= range[1] && end[i] >= range[0]) && words.every(word => haystack(i).includes(word));
  const found = [];
  for (let i = 0; i < N; i++) if (fits(i)) found.push(i);
  const peak = i => P.peak[i];
  if (state.order === 'tree') {
    rows = treeRows(found, words.length > 0 || range !== null);
  } else {
    const by = {
      peak: (a, b) => peak(b) - peak(a) || a - b,
      start: (a, b) => start[a] - start[b] || a - b,
      stage: (a, b) => P.stage[a] - P.stage[b] || peak(b) - peak(a) || a - b,
    }[state.order];
    rows = found.sort(by).map(i => ({i, depth: 0}));
  }
  count.textContent = found.length === N ? many(N, 'process', 'processes') : found.length.toLocaleString('en') + ' of ' + many(N, 'process', 'processes');
  const [from, to] = range || [0, data.span];
  axis.replaceChildren(make('span', {}, moment(from)), make('span', {}, moment(to)));
  list.setAttribute('role', state.order === 'tree' ? 'treegrid' : 'grid');
  list.setAttribute('aria-rowcount', String(rows.length + 1));
  space.style.height = rows.length * ROW + 'px';
  draw();
}

function treeRows(found, filtered) {
  let shown = null;
  if (filtered) {
    shown = new Set();
    for (let i of found) for (; i >= 0 && !shown.has(i); i = parent[i]) shown.add(i);
  }
  const out = [], stack = [];
  const push = (of, depth) => { for (let k = of.length - 1; k >= 0; k--) if (!shown || shown.has(of[k])) stack.push({i: of[k], depth}); };
  const roots = [];
  for (let i = 0; i < N; i++) if (parent[i] < 0) roots.push(i);
  if (leftOut.has(-1) && !filtered) stack.push({more: -1, depth: 0});
  push(roots, 0);
  while (stack.length) {
    const row = stack.pop();
    out.push(row);
    if (row.i === undefined) continue;
    row.kids = children[row.i].length > 0 || leftOut.has(row.i);
    row.open = row.kids && (filtered || state.open.has(row.i));
    if (!row.open) continue;
    if (leftOut.has(row.i) && !filtered) stack.push({more: row.i, depth: row.depth + 1});
    push(children[row.i], row.depth + 1);
  }
  return out;
}

function draw() {
  const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 4);
  const last = Math.min(rows.length, first + Math.ceil(view.clientHeight / ROW) + 8);
  const drawn = [];
  for (let k = first; k < last; k++) drawn.push(rowElement(rows[k], k));
  space.replaceChildren(...drawn);
  const index = rows.findIndex(row => row.i === state.selected && row.i !== undefined);
  if (index >= first && index < last) list.setAttribute('aria-activedescendant', 'row-' + state.selected);
  else list.removeAttribute('aria-activedescendant');
}

function rowElement(row, k) {
  const indent = make('span', {class: 'who', role: 'gridcell'});
  indent.style.paddingLeft = Math.min(row.depth, 18) * 15 + 'px';
  let element;
  if (row.i === undefined) {
    const {count: n, largest} = leftOut.get(row.more);
    indent.append(n.toLocaleString('en') + ' more, not drawn');
    element = make('div', {class: 'row more', role: 'row', 'aria-rowindex': k + 2, 'aria-level': row.depth + 1}, indent, make('span', {role: 'gridcell'}), make('span', {class: 'much', role: 'gridcell'}, largest >= 0 ? '≤ ' + size(largest) : ''));
  } else {
    const i = row.i, [from, to] = state.range || [0, data.span];
    if (state.order === 'tree') {
      indent.append(make('button', {type: 'button', class: 'fold', tabindex: -1, 'aria-hidden': 'true', onclick: event => { event.stopPropagation(); fold(i); }}, row.kids ? (row.open ? '▼' : '▶') : ''));
    }
    indent.append(dot(stage(i).color), make('b', {title: commands[P.command[i]].slice(0, 400)}, name(i)), make('span', {class: 'pid'}, String(P.pid[i])));
    const bar = make('i', {class: stage(i).color + (P.flags[i] & 1 ? ' open' : '')});
    const left = Math.max(0, (start[i] - from) / (to - from)), right = Math.min(1, (end[i] - from) / (to - from));
    if (right >= 0 && left <= 1) {
      bar.style.left = 'min(' + left * 100 + '%, 100% - 2px)';
      bar.style.width = Math.max(0, right - left) * 100 + '%';
    } else {
      bar.hidden = true;
    }
    element = make('div', {class: 'row' + (P.flags[i] & 2 ? ' killed' : ''), role: 'row', id: 'row-' + i, 'data-process': i, 'aria-rowindex': k + 2, 'aria-selected': String(i === state.selected),
      'aria-level': state.order === 'tree' ? row.depth + 1 : undefined, 'aria-expanded': state.order === 'tree' && row.kids ? String(row.open) : undefined, onclick: () => select(i)},
    indent, make('span', {class: 'when', role: 'gridcell', 'aria-label': 'from ' + moment(start[i]) + ' to ' + moment(end[i])}, bar), make('span', {class: 'much', role: 'gridcell'}, P.peak[i] < 0 ? '–' : size(P.peak[i])));
  }
  element.style.top = k * ROW + 'px';
  element.style.height = ROW + 'px';
  return element;
}

function fold(i, open = !state.open.has(i)) {
  if (open) state.open.add(i); else state.open.delete(i);
  refresh();
}

function scrollTo(index) {
  if (index < 0) return;
  const top = index * ROW;
  if (top < view.scrollTop || top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = Math.max(0, top - view.clientHeight / 2);
}

// Shows a process; `reveal` brings it into view, whatever the list is limited to.
function select(i, reveal) {
  state.selected = i;
  if (reveal) {
    if (!rows.some(row => row.i === i)) {
      state.query = '';
      list.closest('.explorer').querySelector('input').value = '';
      if (state.range && (start[i] > state.range[1] || end[i] < state.range[0])) { state.range = null; showRange(); }
      for (let up = parent[i]; up >= 0; up = parent[up]) state.open.add(up);
      refresh();
    }
    scrollTo(rows.findIndex(row => row.i === i));
    $('processes').scrollIntoView({block: 'start'});
  }
  draw();
  showDetails(i);
  for (const tile of document.querySelectorAll('.tile')) tile.setAttribute('aria-pressed', String(Number(tile.dataset.process) === i));
  if (life) {
    life.hidden = false;
    life.style.left = percent(start[i]);
    life.style.width = Math.max(0, Math.min(end[i], data.span) - start[i]) / data.span * 100 + '%';
  }
}

function showDetails(i) {
  const list = make('dl');
  const fact = (word, ...what) => list.append(make('dt', {}, word), make('dd', {}, ...what));
  fact('pid', String(P.pid[i]));
  if (P.ppid[i]) {
    const drawn = parent[i] >= 0 && P.pid[parent[i]] === P.ppid[i];
    fact('started by', drawn ? make('button', {type: 'button', onclick: () => select(parent[i], true)}, name(parent[i]) + ' ' + P.ppid[i]) : String(P.ppid[i]) + (parent[i] >= 0 ? ', which is not drawn' : ''));
  }
  fact('stage', dot(stage(i).color), stage(i).name);
  fact('peak RSS', size(P.peak[i]));
  if (atPeak.has(i)) {
    const {pss, rss} = atPeak.get(i);
    fact('at the peak', size(pss) + ' PSS, ' + size(rss) + ' RSS');
  }
  if (highest.has(i)) fact('highest PSS', size(highest.get(i).pss) + ' in a sample at ' + moment(highest.get(i).at));
  fact('lived', time(end[i] - start[i]));
  fact('from', moment(start[i]) + ' to ' + moment(end[i]));
  fact('end', ending(i));
  const below = children[i].length + (leftOut.has(i) ? leftOut.get(i).count : 0);
  if (below) fact('started', many(below, 'process', 'processes') + (leftOut.has(i) ? ', with those below them that are not drawn' : ''));
  if (P.flags[i] & 4) fact('program', 'none of its own: it is a copy of its parent');
  const line = k => commands[k] || 'unknown';
  const ran = images.get(i);
  const parts = ran ? ran.flatMap(([at, k, peak]) => [make('h4', {}, 'ran from ' + moment(at) + (peak < 0 ? '' : ', peak RSS ' + size(peak))), make('pre', {}, line(k))])
    : [make('h4', {}, 'command line'), make('pre', {}, line(P.command[i]))];
  if (data.cut_at) parts.push(make('p', {class: 'small'}, 'Command lines are cut to ' + data.cut_at.toLocaleString('en') + ' bytes here; the recording has them whole.'));
  details.replaceChildren(make('h3', {}, name(i)), list, ...parts);
}

function keys(event) {
  if (event.target !== list) return;
  const page = Math.max(1, Math.floor(view.clientHeight / ROW) - 1);
  let at = rows.findIndex(row => row.i !== undefined && row.i === state.selected);
  const row = rows[at];
  if (state.order === 'tree' && row && (event.key === 'ArrowLeft' || event.key === 'ArrowRight')) {
    event.preventDefault();
    if (event.key === 'ArrowRight' && row.kids && !row.open) return fold(row.i, true);
    if (event.key === 'ArrowLeft' && row.open) return fold(row.i, false);
    if (event.key === 'ArrowLeft' && parent[row.i] >= 0) return move(rows.findIndex(other => other.i === parent[row.i]), -1);
    return;
  }
  const next = {ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: rows.length - 1}[event.key];
  if (next === undefined || !rows.length) return;
  event.preventDefault();
  move(next, next < at ? -1 : 1);
}
function move(to, direction) {
  to = Math.min(rows.length - 1, Math.max(0, to));
  while (rows[to] && rows[to].i === undefined && rows[to + direction]) to += direction;
  if (!rows[to] || rows[to].i === undefined) return;
  scrollTo(to);
  select(rows[to].i);
}

{
  const place = $('explorer');
  if (place && N) {
    const orders = {peak: 'Peak RSS', start: 'Start', stage: 'Stage', tree: 'Tree'};
    const buttons = Object.entries(orders).map(([order, label]) => make('button', {type: 'button', 'data-order': order, 'aria-pressed': String(order === state.order), onclick: () => {
      state.order = order;
      for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.order === order));
      view.scrollTop = 0;
      refresh();
      scrollTo(rows.findIndex(row => row.i !== undefined && row.i === state.selected));
    }}, label));
    count = make('span', {class: 'quiet', role: 'status'});
    const search = make('input', {type: 'search', placeholder: 'Search commands, pids, stages', 'aria-label': 'Search processes', oninput: event => { state.query = event.target.value; view.scrollTop = 0; refresh(); }});
    space = make('div', {class: 'space', role: 'rowgroup'});
    view = make('div', {class: 'view', role: 'presentation', tabindex: -1, onscroll: draw}, space);
    axis = make('span', {class: 'axis', role: 'columnheader', 'aria-label': 'lifetime'});
    const head = make('div', {class: 'row head', role: 'row', 'aria-rowindex': 1}, make('span', {role: 'columnheader'}, 'process'), axis, make('span', {class: 'much', role: 'columnheader'}, 'peak RSS'));
    list = make('div', {class: 'list', tabindex: 0, 'aria-label': 'Processes: arrow keys choose one', onkeydown: keys}, head, view);
    details = make('aside', {class: 'details', 'aria-label': 'The chosen process', 'aria-live': 'polite', tabindex: 0}, make('p', {class: 'quiet'}, 'Choose a process to see its command line and figures.'));
    place.append(make('div', {class: 'tools'}, make('div', {class: 'seg', role: 'group', 'aria-label': 'Order'}, ...buttons), search, count), make('div', {class: 'pane'}, list, details));
    place.hidden = false;
    $('largest').open = false;
    // As many levels of the tree are open as fit the view; what the build's own process started always is.
    let level = [];
    for (let i = 0; i < N; i++) if (parent[i] < 0) level.push(i);
    for (let shown = level.length; level.length;) {
      const below = level.flatMap(i => children[i]);
      shown += below.length;
      if (shown > 40 && level.some(i => parent[i] >= 0)) break;
      level.forEach(i => state.open.add(i));
      level = below;
    }
    refresh();
    if (state.selected < 0 && rows.length) select(rows[0].i);
  }
  if (atPeak.size && $('at-peak-table')) $('at-peak-table').open = false;
  drawTreemap();
  let pending = 0;
  addEventListener('resize', () => { cancelAnimationFrame(pending); pending = requestAnimationFrame(() => { drawTreemap(); if (list) draw(); }); });
  addEventListener('beforeprint', () => { for (const table of document.querySelectorAll('details')) table.open = true; });
}
document.documentElement.dataset.ready = 'yes';
})();
