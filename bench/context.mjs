// What a measure is given: contenders' processes, floor programs, and the comparison that prints and keeps its result.
import { Actor, inTurns, ratioByPairs } from './method.mjs';
import { round, table } from './support.mjs';

export class Context {
  results = [];
  skipped = [];
  #actors = new Map();

  constructor({ floor, rounds, peers = {}, containments = [], progress = () => {} }) {
    this.floor = floor;
    this.rounds = rounds;
    this.containments = containments;
    this.progress = progress;
    this.#peers = peers;
  }

  #peers;
  #measure = '';

  begin(measure) {
    this.#measure = measure;
  }

  /** Foreign peers that can do this: 'run', 'collect' or 'group'. */
  peers(ability) {
    const able = {
      run: ['Bun.spawn', 'Deno.Command', 'child_process, Node 26', 'execa'],
      collect: ['Bun.spawn', 'Deno.Command', 'child_process, Node 26', 'execa'],
      group: ['tree-kill'],
    };
    return able[ability].filter((name) => name in this.#peers).map((name) => [name, this.#peers[name]]);
  }

  /** The actor of that name, started at its first use and kept until the measure has ended. */
  actor(name, make) {
    if (!this.#actors.has(name)) this.#actors.set(name, make());
    return this.#actors.get(name);
  }

  /** One that the measure closes itself. */
  fresh(make) {
    const actor = make();
    if (!(actor instanceof Actor)) throw new TypeError('make() gives an Actor');
    return actor;
  }

  async end() {
    await Promise.all([...this.#actors.values()].map((actor) => actor.close()));
    this.#actors.clear();
  }

  skip(title, reason) {
    this.skipped.push({ measure: this.#measure, title, reason });
    console.log(`  ${title}: skipped, ${reason}`);
  }

  async compare({ title, unit, better, base, contenders, rounds = this.rounds }) {
    const progress = (what) => this.progress(`${this.#measure}, ${title}: ${what}`);
    const rows = await inTurns(contenders, { rounds, progress });
    this.progress('');
    const reference = rows.find((row) => row.name === base);
    for (const row of rows) {
      if (row.values && reference?.values && row !== reference) row.ratio = ratioByPairs(row.values, reference.values);
    }
    this.results.push({ measure: this.#measure, title, unit, better, base, rows });
    this.#print({ title, unit, base, rows });
  }

  #print({ title, unit, base, rows }) {
    console.log(`\n${title} [${unit}]`);
    const head = ['', 'median', 'middle half', base ? `ratio to ${base}` : '', 'rounds'];
    const cells = rows.map((row) =>
      row.values
        ? [
            row.name,
            round(row.median),
            `${round(row.low)} ... ${round(row.high)}`,
            row.ratio === undefined ? '' : round(row.ratio),
            row.few ? `${row.rounds} (slow)` : row.rounds,
          ]
        : [row.name, `failed: ${row.failed}`, '', '', ''],
    );
    table(head, cells);
  }
}
