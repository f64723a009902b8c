// What is wrong with what an operator has laid down for a subnet: the pool goes by other rules, or nobody can follow them.
// Pure. An address that is held against them is no fault: its holder was there first, or was to keep it.
import { intersect, usable } from '../net/prefix.js';
import { formatRange } from '../net/range.js';
import { type Finding, finding, listed, placeOf, unchanged } from './findings.js';
import { poolKey, rulesKey } from './keyspace.js';
import type { SubnetSeen } from './recorded.js';
import type { RuleSet } from './records.js';
import { NOTHING } from './rule-changes.js';
import { Rules, ruleSetOf } from './rules.js';
import { withRules } from './ruling.js';

export function inspectRules(seen: SubnetSeen): Finding[] {
  const astray = seen.rules?.record ? strays(seen, seen.rules.record) : [];
  if (astray.length === 0) return disagreeing(seen);
  return [finding('rules-astray', [seen.rules!], `${placeOf(seen.subnet)}: ${listed(astray)}`)];
}

/** What of the rules nobody can follow. */
function strays({ subnet: { prefix } }: SubnetSeen, record: RuleSet): string[] {
  let rules: Rules;
  try {
    rules = new Rules(record);
  } catch (error) {
    return [(error as Error).message];
  }
  const all = usable(prefix);
  return rules.barred
    .filter((block) => {
      const { from, to } = intersect(block, all);
      return block.family !== all.family || from !== block.from || to !== block.to;
    })
    .map((block) => `${formatRange(block)} is ${block.why}, and no address of the pool`);
}

function disagreeing({ subnet, pool, rules }: SubnetSeen): Finding[] {
  if (pool?.record?.state !== 'open' || (rules && !rules.record)) return [];
  const { record } = pool;
  const laid = rules?.record ? ruleSetOf(rules.record) : NOTHING;
  if (JSON.stringify(record.rules ?? NOTHING) === JSON.stringify(laid)) return [];
  const when = [unchanged(pool), { key: rulesKey(subnet), version: rules?.version ?? null }];
  const text = `${placeOf(subnet)}: ${rules ? `not as in ${rules.key}` : `there is no ${rulesKey(subnet).key}`}`;
  return [
    finding('rules-disagree', rules ? [pool, rules] : [pool], text, {
      says: 'writes into the pool what is laid down',
      act: 'commit',
      changes: ({ token }) => [{ when, write: [{ put: poolKey(subnet), record: withRules(record, laid, token()) }] }],
    }),
  ];
}
