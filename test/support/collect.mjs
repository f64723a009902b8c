// Preloaded into a driver whose memory is measured: SIGUSR2 collects garbage, all of it, so that two readings differ by what
// is held and not by when the engine last thought of collecting. Refuses to know what is held.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('SIGUSR2', () => {
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
});
