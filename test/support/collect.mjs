// Preloaded into a driver whose memory is measured: SIGUSR2 collects garbage, all of it, so that two readings differ by what
// is held and not by when the engine last thought of collecting. Refuses to know what is held.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

// In a task of its own: what a stack might still refer to would stay, and with it most of the garbage.
process.on('SIGUSR2', () => {
  void collect({ type: 'major', execution: 'async' });
});
