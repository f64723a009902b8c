// The same work by the layouts of other allocators, as well as they can be done here: an address of a /16 of which 60,000 are
// taken. Theirs are called directly; ours through its socket.
import { blocks } from './peers/blocks.js';
import { firstFree } from './peers/first-free.js';
import { jsonDocument } from './peers/json-document.js';
import { listThenCreate } from './peers/list-then-create.js';
import { type Peer, PLACES, patient } from './peers/peer.js';
import { filled, warmed } from './plant.js';
import type { Scenario } from './site.js';
import { type Subject, takeTurns } from './turns.js';

const TURNS = 3;
const CALLS: ReadonlyMap<Peer, number> = new Map([
  [blocks, 100],
  [firstFree, 10],
  [jsonDocument, 10],
  [listThenCreate, 10],
]);

export const peers: Scenario = {
  title: 'one dynamic address of a /16 of which 60,000 are taken, by layout, against ours',
  async run(site, { once, size }) {
    await warmed(site, once);
    const taken = Math.min(60_000, size);
    const etcd = patient(site.url);
    const places = Array.from({ length: PLACES }, (_, i) => i + 1);
    for (let i = 0; i < taken; i++) {
      const j = i + Math.floor(Math.random() * (places.length - i));
      [places[i], places[j]] = [places[j]!, places[i]!];
    }
    const subjects: Subject[] = [
      await filled(site, '10.66.0.0/16', taken, once ? 2 : 400, 'etcd-ipam, through its socket'),
    ];
    for (const [peer, calls] of CALLS) {
      const given = new Set<number>(places.slice(0, taken));
      await peer.fill(etcd, [...given]);
      const call = async () => {
        const place = await peer.allocate(etcd);
        // Blocks fill their places in order.
        if (peer !== blocks && given.has(place)) throw new Error(`${peer.name} gave ${place} twice`);
        given.add(place);
      };
      subjects.push({ what: peer.name, inFlight: 1, calls: once ? 2 : calls, call });
    }
    const lines = await takeTurns(site, once ? 1 : TURNS, subjects);
    etcd.close();
    return lines;
  },
};
