/** How often others have their turn while something is done. */

/** The value that `act` resolves with, and the turns of immediates meanwhile. */
export async function turnsDuring<T>(
  act: () => Promise<T>,
): Promise<{ readonly value: T; readonly turns: number }> {
  let turns = 0;
  let waiting = setImmediate(count);
  function count() {
    turns++;
    waiting = setImmediate(count);
  }
  try {
    const value = await act();
    return { value, turns };
  } finally {
    clearImmediate(waiting);
  }
}
