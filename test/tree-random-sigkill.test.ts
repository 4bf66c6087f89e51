// S5: the supervisor is SIGKILLed at a random moment of spawn, run or teardown. `npm run test:long` runs a thousand rounds.
import { expect, it } from 'vitest';
import { scaled } from './support/scale.js';
import { sigkillRound, sigkillRounds } from './support/sigkill-rounds.mjs';

/** Each supervisor has three trees, which are at different stages: one SIGKILL hits three moments. */
const TREES = 3;
const rounds = Math.max(10, scaled(40));

it(
  `S5: ${rounds} times SIGKILL at a random moment of ${TREES} trees: no survivor and no guardian left`,
  async () => {
    let hit = 0;
    const results = await sigkillRounds(rounds, {
      lanes: 3,
      trees: TREES,
      onRound: ({ before }, done) => {
        if (before > 1) hit += 1;
        if (done % 100 === 0) process.stderr.write(`S5: ${done} of ${rounds} rounds, ${hit} of them hit a tree\n`);
      },
    });
    expect(results).toHaveLength(rounds);
    expect(results.filter(({ signal }) => signal !== 'SIGKILL')).toEqual([]);
    expect(results.filter(({ survivors }) => survivors.length > 0)).toEqual([]);
    expect(
      results.filter(({ left }) => left.length > 0),
      'later than grace and a second',
    ).toEqual([]);
    // Of a few rounds on a slow machine all but one may miss.
    expect(hit, 'control: the moments did hit trees').toBeGreaterThan(rounds < 30 ? 0 : rounds / 4);
  },
  60_000 + rounds * 2_000,
);

it('S5: control: containment group leaves members, and the oracle sees them', async () => {
  let found = 0;
  // The moment is random: some rounds hit the few milliseconds in which nobody lives.
  for (let round = 0; round < 10 && found === 0; round++) {
    found = (await sigkillRound({ containment: 'group', random: () => 0.5, lateMs: 0 })).survivors.length;
  }
  expect(found).toBeGreaterThan(0);
});
