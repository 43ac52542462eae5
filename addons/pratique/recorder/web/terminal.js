"use strict";
/* A small terminal: text with control sequences in (ECMA-48 and what of xterm's programs use), a grid of cells out.
   Belongs here: the grid. Not here: time (player.js), the page. Touches no document except in paint(). */

const ATTRIBUTES = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 8: "hidden", 9: "strike" };
const RESETS = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 28: ["hidden"], 29: ["strike"] };
const LINES = { j: "┘", k: "┐", l: "┌", m: "└", n: "┼", q: "─", t: "├", u: "┤", v: "┴", w: "┬", x: "│", a: "▒", o: "⎺",
  s: "⎽", "`": "◆", f: "°", g: "±", "~": "·", y: "≤", z: "≥", "{": "π", "|": "≠", "}": "£", 0: "█" };
const MAX_COLUMNS = 500, MAX_ROWS = 200;
const WIDE = [[0x1100, 0x115f], [0x2e80, 0x303e], [0x3041, 0x33ff], [0x3400, 0x4dbf], [0x4e00, 0x9fff], [0xa000, 0xa4cf],
  [0xac00, 0xd7a3], [0xf900, 0xfaff], [0xfe30, 0xfe6f], [0xff00, 0xff60], [0xffe0, 0xffe6], [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff], [0x1f900, 0x1f9ff], [0x20000, 0x3fffd]];
const INVISIBLE = /^[\u0080-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]$/;  // C1 controls, bidi marks
const COMBINING = /^[\p{Mn}\p{Me}\u200b-\u200d\ufe00-\ufe0f]$/u;

function width(character) {
  const code = character.codePointAt(0);
  if (code < 0x300) return 1;
  if (COMBINING.test(character)) return 0;
  return WIDE.some(([low, high]) => code >= low && code <= high) ? 2 : 1;
}

class Terminal {
  constructor(columns, rows) {
    this.columns = Math.max(1, Math.min(columns, MAX_COLUMNS));
    this.rows = Math.max(1, Math.min(rows, MAX_ROWS));
    this.reset();
  }

  reset() {
    this.style = {};
    this.main = this.blank();
    this.grid = this.main;
    this.other = null;
    this.x = this.y = 0;
    this.top = 0;
    this.bottom = this.rows - 1;
    this.saved = null;
    this.wrap = true;
    this.insert = false;
    this.origin = false;
    this.pending = false;      // the cursor stands behind the last column
    this.visible = true;
    this.graphics = [false, false];
    this.shift = 0;
    this.waiting = "";
    this.last = " ";
  }

  blank() { return Array.from({ length: this.rows }, () => this.line()); }
  line() { return Array.from({ length: this.columns }, () => this.cell()); }
  cell() { return { text: " ", style: this.style.background ? { background: this.style.background } : {} }; }

  resize(columns, rows) {
    columns = Math.max(1, Math.min(columns, MAX_COLUMNS));
    rows = Math.max(1, Math.min(rows, MAX_ROWS));
    for (const grid of new Set([this.main, this.grid, this.other].filter(Boolean))) {
      while (grid.length > rows) (this.y < grid.length - 1 ? grid.pop() : (grid.shift(), this.y--));
      for (const line of grid) {
        line.length = Math.min(line.length, columns);
        while (line.length < columns) line.push({ text: " ", style: {} });
      }
      while (grid.length < rows) grid.push(Array.from({ length: columns }, () => ({ text: " ", style: {} })));
    }
    this.columns = columns;
    this.rows = rows;
    this.top = 0;
    this.bottom = rows - 1;
    this.move(this.x, this.y);
  }

  move(x, y) {
    this.x = Math.max(0, Math.min(x, this.columns - 1));
    this.y = Math.max(0, Math.min(y, this.rows - 1));
    this.pending = false;
  }

  /* Sequences that are cut between two calls are put together; one that never ends is passed over. */
  feed(text) {
    let data = this.waiting + text;
    this.waiting = "";
    let at = 0;
    while (at < data.length) {
      const code = data.charCodeAt(at);
      if (code === 0x1b) {
        const end = this.escape(data, at);
        if (end < 0) {
          if (data.length - at < 65536) this.waiting = data.slice(at);
          return;
        }
        at = end;
      } else if (code < 0x20 || code === 0x7f) {
        this.control(code);
        at += 1;
      } else {
        const character = String.fromCodePoint(data.codePointAt(at));
        this.put(character);
        at += character.length;
      }
    }
  }

  control(code) {
    if (code === 8) this.move(this.x - 1, this.y);
    else if (code === 9) this.move((Math.floor(this.x / 8) + 1) * 8, this.y);
    else if (code >= 10 && code <= 12) this.lineFeed();
    else if (code === 13) this.move(0, this.y);
    else if (code === 14) this.shift = 1;
    else if (code === 15) this.shift = 0;
  }

  put(character) {
    if (INVISIBLE.test(character)) return;
    if (this.graphics[this.shift] && LINES[character]) character = LINES[character];
    const cells = width(character);
    if (cells === 0) {
      const before = this.grid[this.y][Math.max(0, this.pending ? this.x : this.x - 1)];
      if (before.text.length < 16) before.text += character;
      return;
    }
    if (this.pending || (cells === 2 && this.x === this.columns - 1 && this.wrap && this.columns > 1)) {
      this.move(0, this.y);
      this.lineFeed();
    }
    const line = this.grid[this.y];
    if (this.insert) {
      line.splice(this.x, 0, ...Array.from({ length: cells }, () => this.cell()));
      line.length = this.columns;
    }
    line[this.x] = { text: character, style: this.style };
    if (cells === 2 && this.x + 1 < this.columns) line[this.x + 1] = { text: "", style: this.style };
    this.last = character;
    if (this.x + cells >= this.columns) {
      this.x = this.columns - 1;
      this.pending = this.wrap;
    } else {
      this.x += cells;
    }
  }

  lineFeed() {
    if (this.y === this.bottom) this.scroll(1);
    else this.move(this.x, this.y + 1);
    this.pending = false;
  }

  reverseLineFeed() {
    if (this.y === this.top) this.scroll(-1);
    else this.move(this.x, this.y - 1);
  }

  scroll(count, top = this.top) {
    const size = this.bottom - top + 1;
    for (let i = Math.min(Math.abs(count), size); i > 0; i--) {
      if (count > 0) {
        this.grid.splice(top, 1);
        this.grid.splice(this.bottom, 0, this.line());
      } else {
        this.grid.splice(this.bottom, 1);
        this.grid.splice(top, 0, this.line());
      }
    }
  }

  /* Returns where the sequence at `at` ends, or -1 when more of it is to come. */
  escape(data, at) {
    const next = data[at + 1];
    if (next === undefined) return -1;
    if (next === "[") return this.csi(data, at);
    if ("]PX^_".includes(next)) {
      for (let i = at + 2; i < data.length; i++) {
        if (data[i] === "\x07" || data[i] === "\x9c") return i + 1;
        if (data[i] === "\x1b") return data[i + 1] === undefined ? -1 : data[i + 1] === "\\" ? i + 2 : i;
      }
      return -1;
    }
    if ("()*+-./#%".includes(next)) {
      if (data[at + 2] === undefined) return -1;
      if (next === "(" || next === ")") this.graphics[next === "(" ? 0 : 1] = data[at + 2] === "0";
      return at + 3;
    }
    if (next === "7") this.save();
    else if (next === "8") this.restore();
    else if (next === "D") this.lineFeed();
    else if (next === "E") { this.move(0, this.y); this.lineFeed(); }
    else if (next === "M") this.reverseLineFeed();
    else if (next === "c") this.reset();
    return at + 2;
  }

  save() { this.saved = { x: this.x, y: this.y, style: this.style, graphics: [...this.graphics] }; }

  restore() {
    if (!this.saved) return this.move(0, 0);
    this.style = this.saved.style;
    this.graphics = [...this.saved.graphics];
    this.move(this.saved.x, this.saved.y);
  }

  csi(data, at) {
    let end = at + 2;
    while (end < data.length && data.charCodeAt(end) >= 0x20 && data.charCodeAt(end) < 0x40) end++;
    if (end === data.length) return end - at > 4096 ? end : -1;
    const body = data.slice(at + 2, end);
    const final = data[end];
    if (/^[0-9;:]*$/.test(body)) this.act(final, body);
    else if (/^\?[0-9;]*$/.test(body) && (final === "h" || final === "l")) {
      for (const mode of body.slice(1).split(";")) this.mode(Number(mode), final === "h");
    }
    return end + 1;
  }

  act(final, body) {
    const numbers = body.split(";").map((part) => (part === "" ? NaN : parseInt(part, 10)));
    const n = (index, otherwise) => (numbers[index] > 0 ? Math.min(numbers[index], 10000) : otherwise);
    const one = n(0, 1);
    const up = this.origin ? this.top : 0;
    switch (final) {
      case "A": return this.move(this.x, Math.max(this.y >= this.top ? this.top : 0, this.y - one));
      case "B": case "e": return this.move(this.x, Math.min(this.y <= this.bottom ? this.bottom : this.rows, this.y + one));
      case "C": case "a": return this.move(this.x + one, this.y);
      case "D": return this.move(this.x - one, this.y);
      case "E": return this.move(0, this.y + one);
      case "F": return this.move(0, this.y - one);
      case "G": case "`": return this.move(one - 1, this.y);
      case "H": case "f": return this.move(n(1, 1) - 1, up + one - 1);
      case "d": return this.move(this.x, up + one - 1);
      case "J": return this.eraseDisplay(n(0, 0));
      case "K": return this.eraseLine(n(0, 0));
      case "L": return this.inRegion(() => this.scroll(-one, this.y));
      case "M": return this.inRegion(() => this.scroll(one, this.y));
      case "S": return this.scroll(one);
      case "T": return this.scroll(-one);
      case "P": return this.edit((line) => { line.splice(this.x, one); while (line.length < this.columns) line.push(this.cell()); });
      case "@": return this.edit((line) => {
        line.splice(this.x, 0, ...Array.from({ length: Math.min(one, this.columns) }, () => this.cell()));
        line.length = this.columns;
      });
      case "X": return this.edit((line) => {
        for (let i = this.x; i < Math.min(this.x + one, this.columns); i++) line[i] = this.cell();
      });
      case "b": for (let i = 0; i < Math.min(one, this.columns * this.rows); i++) this.put(this.last); return undefined;
      case "r": return this.region(n(0, 1) - 1, n(1, this.rows) - 1);
      case "s": return this.save();
      case "u": return this.restore();
      case "h": case "l": if (numbers[0] === 4) this.insert = final === "h"; return undefined;
      case "m": return this.colour(body);
      default: return undefined;
    }
  }

  inRegion(change) { if (this.y >= this.top && this.y <= this.bottom) { change(); this.move(0, this.y); } }
  edit(change) { change(this.grid[this.y]); this.pending = false; }

  region(top, bottom) {
    bottom = Math.min(bottom, this.rows - 1);
    if (top >= bottom) return;
    this.top = top;
    this.bottom = bottom;
    this.move(0, this.origin ? top : 0);
  }

  eraseDisplay(what) {
    if (what >= 2) this.grid.forEach((_, y) => { this.grid[y] = this.line(); });
    else {
      this.eraseLine(what);
      const [from, to] = what === 0 ? [this.y + 1, this.rows] : [0, this.y];
      for (let y = from; y < to; y++) this.grid[y] = this.line();
    }
  }

  eraseLine(what) {
    const [from, to] = what === 0 ? [this.x, this.columns] : what === 1 ? [0, this.x + 1] : [0, this.columns];
    for (let x = from; x < to; x++) this.grid[this.y][x] = this.cell();
    this.pending = false;
  }

  mode(number, on) {
    if (number === 6) { this.origin = on; this.move(0, on ? this.top : 0); }
    else if (number === 7) this.wrap = on;
    else if (number === 25) this.visible = on;
    else if (number === 47 || number === 1047 || number === 1049) {
      if (on === (this.grid !== this.main)) return;
      if (number === 1049 && on) this.save();
      this.grid = on ? this.blank() : this.main;
      if (number === 1049 && !on) this.restore();
    }
  }

  colour(body) {
    const parts = body.split(/[;:]/).map((part) => parseInt(part, 10) || 0);
    let style = { ...this.style };
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i];
      if (part === 0) style = {};
      else if (ATTRIBUTES[part]) style[ATTRIBUTES[part]] = true;
      else if (RESETS[part]) RESETS[part].forEach((name) => delete style[name]);
      else if (part >= 30 && part <= 37) style.foreground = part - 30;
      else if (part >= 90 && part <= 97) style.foreground = part - 82;
      else if (part >= 40 && part <= 47) style.background = 1 + part - 40;
      else if (part >= 100 && part <= 107) style.background = 1 + part - 92;
      else if (part === 39) delete style.foreground;
      else if (part === 49) delete style.background;
      else if (part === 38 || part === 48) {
        const [value, used] = this.extended(parts, i + 1, body.includes(":"));
        i += used;
        if (value !== null) style[part === 38 ? "foreground" : "background"] = part === 38 ? value : typeof value === "number" ? value + 1 : value;
      }
    }
    this.style = style;
  }

  extended(parts, at, colons) {
    if (parts[at] === 5) return [Math.min(parts[at + 1] || 0, 255), 2];
    if (parts[at] !== 2) return [null, 0];
    const skip = colons && parts.length - at >= 5 ? 1 : 0;
    const rgb = parts.slice(at + 1 + skip, at + 4 + skip).map((value) => Math.min(value || 0, 255));
    return [`rgb(${rgb.join(",")})`, 4 + skip];
  }

  /* The screen as text, for tests and for copying. */
  text() { return this.grid.map((line) => line.map((cell) => cell.text).join("").trimEnd()).join("\n").trimEnd(); }
}

const PALETTE = ["#1d2230", "#e0566f", "#5fb573", "#d9a441", "#5b8def", "#b877db", "#45b5c4", "#c8ced9",
  "#69718a", "#ff7b90", "#86d993", "#f2c46d", "#86aeff", "#d4a0f0", "#74d8e4", "#f4f6fa"];

function paletteColour(value, shift) {
  if (typeof value !== "number") return value;
  const index = value - shift;
  if (index < 16) return PALETTE[index];
  if (index >= 232) { const grey = 8 + (index - 232) * 10; return `rgb(${grey},${grey},${grey})`; }
  const level = (part) => (part === 0 ? 0 : 55 + part * 40);
  const cube = index - 16;
  return `rgb(${level(Math.floor(cube / 36))},${level(Math.floor(cube / 6) % 6)},${level(cube % 6)})`;
}

function same(a, b) {
  const names = Object.keys(a);
  return a === b || (names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]));
}

/* Shows the grid in `element`, a <pre>: one span per run of one style. Texts are set as text, never as markup. */
function paint(terminal, element) {
  const lines = document.createDocumentFragment();
  terminal.grid.forEach((cells, y) => {
    let run = "", style = null;
    const flush = () => {
      if (!run) return;
      lines.append(spanOf(run, style));
      run = "";
    };
    cells.forEach((cell, x) => {
      const cursor = terminal.visible && y === terminal.y && x === terminal.x;
      const wanted = cursor ? { ...cell.style, inverse: !cell.style.inverse } : cell.style;
      if (style === null || !same(style, wanted)) { flush(); style = wanted; }
      run += cell.text;
    });
    flush();
    lines.append("\n");
  });
  element.replaceChildren(lines);
}

function spanOf(text, style) {
  if (Object.keys(style).length === 0) return document.createTextNode(text);
  const span = document.createElement("span");
  span.textContent = style.hidden ? " ".repeat(text.length) : text;
  let foreground = style.foreground === undefined ? "" : paletteColour(style.foreground, 0);
  let background = style.background === undefined ? "" : paletteColour(style.background, 1);
  if (style.inverse) [foreground, background] = [background || "var(--terminal)", foreground || "var(--terminal-text)"];
  if (foreground) span.style.color = foreground;
  if (background) span.style.backgroundColor = background;
  if (style.bold) span.style.fontWeight = "bold";
  if (style.dim) span.style.opacity = "0.65";
  if (style.italic) span.style.fontStyle = "italic";
  const decoration = [style.underline && "underline", style.strike && "line-through"].filter(Boolean).join(" ");
  if (decoration) span.style.textDecoration = decoration;
  return span;
}

if (typeof module !== "undefined") module.exports = { Terminal };
