// One host, one address, two containers that look alike (one MAC), and an engine that a look asks what it shows: a container that
// it shows keeps its address, and one that the engine starts again is not refused. Releases go in order or are lost with the engine.
import { commit, type Entry, type Model, type Name, type Store, Wrong } from './explore.js';

export const SHOWN_RULES = {
  /** A claim that the last look showed a container with is not taken over. */
  refuses: true,
  /** … as it was then: one that was written anew is another. */
  version: true,
  /** A look reads the claims before it asks the engine. */
  recordsFirst: true,
  /** An engine that begins anew has what was shown forgotten. */
  forgets: true,
  /** … and what a look shows that began before that. */
  begins: true,
  /** A look that failed shows nothing, and what the one before showed is over. */
  fails: true,
};
export type ShownRules = Readonly<typeof SHOWN_RULES>;

/** How often each may happen. `lost`: answers to a request, which the engine then makes again. */
export interface ShownBudget {
  readonly start: number;
  readonly stop: number;
  readonly lost: number;
  readonly look: number;
  readonly crash: number;
  readonly unheard: number;
}

type Container = 'x' | 'y';

interface State extends Store {
  engine: 'up' | 'down';
  lives: Record<Container, boolean>;
  /** The claim with a container behind it, by the last look. */
  shown?: Name;
  /** A look on its way. `engine`: what it was shown, a container or none. */
  look?: { claim?: Name | null; engine?: boolean; before?: boolean; after?: boolean };
  /** A container has stopped whose release never arrived, and no look that began after that has ended or failed. */
  unheard?: boolean;
  /** What must be known by now: a look has ended that saw both this claim and its container, which has lived since. */
  known?: Name;
  left: ShownBudget;
}

const CONTAINERS: readonly Container[] = ['x', 'y'];

export function shownContainers(rules: ShownRules, left: ShownBudget): Model<State> {
  const start: State = {
    ...{ last: 0, kv: {}, engine: 'up', lives: { x: false, y: false }, left },
  };
  const steps = CONTAINERS.flatMap((container) => [
    (s: State) => ask(s, rules, container, true),
    (s: State) => ask(s, rules, container, false),
    (s: State) => stop(s, container, true),
    (s: State) => stop(s, container, false),
  ]);
  const looks = [beginLook, readRecords, (s: State) => askEngine(s, rules), (s: State) => endLook(s, rules)];
  return {
    start,
    steps: [...steps, ...looks, (s: State) => failLook(s, rules), crash, (s: State) => restart(s, rules)],
    check,
  };
}

function check({ kv, known, lives }: State): void {
  if (known !== undefined && kv.claim?.v !== known && (lives.x || lives.y))
    throw new Wrong('the address of a container that was shown is another’s');
}

const claimOf = ({ kv }: State) => kv.claim as Entry | undefined;
const anyLives = ({ lives }: State) => lives.x || lives.y;

function spend(s: State, what: keyof ShownBudget): boolean {
  if (s.left[what] === 0) return false;
  s.left = { ...s.left, [what]: s.left[what] - 1 };
  return true;
}

function ask(s: State, { refuses, version }: ShownRules, container: Container, heard: boolean): string | undefined {
  if (s.engine === 'down' || s.lives[container] || !spend(s, heard ? 'start' : 'lost')) return undefined;
  const claim = claimOf(s);
  if (refuses && claim && s.shown !== undefined && (s.shown === claim.v || !version)) {
    if (!anyLives(s) && !s.unheard) throw new Wrong(`${container} is refused an address that no container has`);
    return `${container} is refused`;
  }
  commit(s, { when: {}, put: { claim: {} } });
  if (!heard) return `${container} is given the address, which the engine does not hear of`;
  s.lives[container] = true;
  return `${container} starts with the address`;
}

/** Both may have it, where no look was between: whoever stops gives back what the other one has, and nothing is known any more. */
function stop(s: State, container: Container, heard: boolean): string | undefined {
  if (s.engine === 'down' || !s.lives[container] || !spend(s, heard ? 'stop' : 'unheard')) return undefined;
  s.lives[container] = false;
  delete s.known;
  if (!heard) {
    s.unheard = true;
    if (s.look) delete s.look.after;
    return `${container} stops, and its release never arrives`;
  }
  delete s.kv.claim;
  return `${container} stops and gives the address back`;
}

function beginLook(s: State): string | undefined {
  if (s.look || !spend(s, 'look')) return undefined;
  s.look = s.unheard ? { after: true } : {};
  return 'a look begins';
}

function readRecords(s: State): string | undefined {
  if (!s.look || s.look.claim !== undefined) return undefined;
  s.look.claim = claimOf(s)?.v ?? null;
  return 'it reads the claims';
}

function askEngine(s: State, { recordsFirst }: ShownRules): string | undefined {
  if (!s.look || s.look.engine !== undefined || s.engine === 'down') return undefined;
  if (recordsFirst && s.look.claim === undefined) return undefined;
  s.look.engine = anyLives(s);
  return 'it asks the engine';
}

function endLook(s: State, { begins }: ShownRules): string | undefined {
  if (!s.look || s.look.claim === undefined || s.look.engine === undefined) return undefined;
  const { claim, engine, before } = s.look;
  heardOf(s);
  if (before && begins) return 'it ends, of an engine that was';
  if (engine && claim !== null) s.shown = claim;
  else delete s.shown;
  if (engine && claim !== null && claimOf(s)?.v === claim && anyLives(s) && !before) s.known = claim;
  return 'it ends';
}

function heardOf(s: State): void {
  if (s.look?.after) delete s.unheard;
  delete s.look;
}

/** What it showed of containers whose release was lost would be believed for ever. */
function failLook(s: State, { fails }: ShownRules): string | undefined {
  if (!s.look || s.look.claim === undefined || s.look.engine !== undefined) return undefined;
  heardOf(s);
  if (fails) {
    delete s.shown;
    delete s.known;
  }
  return 'it fails';
}

/** Its containers end with it, and of those nothing is given back. */
function crash(s: State): string | undefined {
  if (s.engine === 'down' || !spend(s, 'crash')) return undefined;
  s.engine = 'down';
  s.lives = { x: false, y: false };
  delete s.known;
  return 'the engine is killed';
}

/** It asks for the driver's capabilities before anything else. */
function restart(s: State, { forgets }: ShownRules): string | undefined {
  if (s.engine === 'up') return undefined;
  s.engine = 'up';
  if (forgets) delete s.shown;
  if (s.look) s.look.before = true;
  return 'the engine begins anew';
}
