"use strict";
/* Plays one asciicast v2: {width, height, events: [[seconds, code, data], …]} with o, i, r and m events.
   Belongs here: time and its controls. Not here: what the output does (terminal.js). */

function clock(seconds) {
  const whole = Math.floor(seconds);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const pad = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${pad(minutes)}:${pad(whole % 60)}`;
}

/* Recorded times with every pause cut to `idle` seconds. */
function compressed(events, idle) {
  let before = 0, shown = 0;
  return events.map(([time]) => {
    shown += Math.min(Math.max(time - before, 0), idle);
    before = Math.max(time, before);
    return shown;
  });
}

class Player {
  constructor(cast, make) {
    this.cast = cast;
    this.make = make;
    this.at = 0;          // shown seconds
    this.next = 0;        // index of the next event
    this.speed = 1;
    this.playing = false;
    this.idle(2);
    this.element = this.build();
    this.rewind();
    this.seek(this.duration);
  }

  idle(seconds) {
    this.times = compressed(this.cast.events, seconds);
    this.duration = this.times.length ? this.times[this.times.length - 1] : 0;
  }

  rewind() {
    this.terminal = new Terminal(this.cast.width, this.cast.height);
    this.next = 0;
    this.said = "";
  }

  build() {
    const make = this.make;
    this.screen = make("pre", "screen");
    this.toggle = make("button", "toggle");
    this.toggle.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.range = make("input", "seek");
    Object.assign(this.range, { type: "range", min: 0, step: 0.01, max: this.duration || 1, ariaLabel: "position" });
    this.range.addEventListener("input", () => { this.pause(); this.seek(Number(this.range.value)); });
    this.clock = make("span", "clock");
    this.note = make("span", "note");
    this.markers = make("div", "markers");
    const controls = make("div", "controls", this.toggle, make("div", "track", this.range, this.markers), this.clock, this.speeds(), this.pauses());
    this.mark();
    return make("div", "player", this.screen, controls, this.note);
  }

  speeds() {
    return this.select("speed", [["0.5", "0.5×"], ["1", "1×"], ["2", "2×"], ["4", "4×"], ["16", "16×"]], "1", (value) => {
      this.speed = Number(value);
    });
  }

  pauses() {
    return this.select("longest pause", [["1", "pauses ≤ 1 s"], ["2", "pauses ≤ 2 s"], ["10", "pauses ≤ 10 s"], ["1e9", "real pauses"]], "2", (value) => {
      const share = this.duration ? this.at / this.duration : 0;
      this.idle(Number(value));
      this.range.max = this.duration || 1;
      this.mark();
      this.seek(share * this.duration);
    });
  }

  select(label, choices, chosen, change) {
    const list = this.make("select", "choice");
    list.ariaLabel = label;
    for (const [value, text] of choices) {
      const option = this.make("option", "", text);
      option.value = value;
      list.append(option);
    }
    list.value = chosen;
    list.addEventListener("change", () => change(list.value));
    return list;
  }

  mark() {
    this.markers.replaceChildren();
    this.cast.events.forEach(([, code, data], index) => {
      if (code !== "m" || !this.duration) return;
      const mark = this.make("button", "marker");
      mark.title = data;
      mark.ariaLabel = data;
      mark.style.left = `${(100 * this.times[index]) / this.duration}%`;
      mark.addEventListener("click", () => { this.pause(); this.seek(this.times[index]); });
      this.markers.append(mark);
    });
  }

  seek(seconds) {
    if (seconds < this.at || this.next === 0) this.rewind();
    this.at = Math.max(0, Math.min(seconds, this.duration));
    while (this.next < this.times.length && this.times[this.next] <= this.at + 1e-9) this.show(this.cast.events[this.next++]);
    this.render();
  }

  show([, code, data]) {
    if (code === "o") this.terminal.feed(data);
    else if (code === "m") this.said = data;
    else if (code === "r") {
      const [columns, rows] = data.split("x").map(Number);
      if (columns > 0 && rows > 0) this.terminal.resize(columns, rows);
    }
  }

  render() {
    paint(this.terminal, this.screen);
    this.range.value = this.at;
    this.range.style.setProperty("--done", `${this.duration ? (100 * this.at) / this.duration : 100}%`);
    this.clock.textContent = `${clock(this.at)} / ${clock(this.duration)}`;
    this.toggle.textContent = this.playing ? "❚❚" : "▶";
    this.toggle.ariaLabel = this.playing ? "pause" : "play";
    this.note.textContent = this.said ? `● ${this.said}` : "";
  }

  play() {
    if (this.at >= this.duration) this.seek(0);
    this.playing = true;
    this.before = null;
    requestAnimationFrame((now) => this.frame(now));
    this.render();
  }

  pause() {
    this.playing = false;
    this.render();
  }

  frame(now) {
    if (!this.playing) return;
    const passed = this.before === null ? 0 : ((now - this.before) / 1000) * this.speed;
    this.before = now;
    this.seek(this.at + passed);
    if (this.at >= this.duration) this.pause();
    else requestAnimationFrame((later) => this.frame(later));
  }
}

if (typeof module !== "undefined") module.exports = { compressed, clock };
