/** Measures how many concurrent jobs end in one turn: work in slices ends in several. */

export async function mostInOneTurn(jobs: readonly Promise<unknown>[]): Promise<number> {
  let most = 0;
  let ended = 0;
  const look = () => {
    most = Math.max(most, ended);
    ended = 0;
    turn = setImmediate(look);
  };
  let turn = setImmediate(look);
  await Promise.all(jobs.map((job) => job.then(() => ended++)));
  clearImmediate(turn);
  return Math.max(most, ended);
}
