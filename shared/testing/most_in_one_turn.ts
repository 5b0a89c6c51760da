/** How much of what begins together ends together: work in pieces does not. */

/** The most of these jobs that end in one turn of the event loop. */
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
