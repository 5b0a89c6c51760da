/** Calls with faults of a Spine: they fail before they are made, or lose their answer. */
import { ArqonError } from "@arqon/proto";

/** Wraps calls, so that each may be slow, fail before it is made, or lose its answer. */
export function faultyBy(random: () => number) {
  return <Given extends unknown[], Result>(call: (...given: Given) => Promise<Result>) =>
  async (...given: Given): Promise<Result> => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns--) await Promise.resolve();
    const fate = random();
    if (fate < 0.08) throw new ArqonError("spine-unavailable", "before");
    const result = await call(...given);
    if (fate < 0.16) throw new ArqonError("spine-unavailable", "after");
    return result;
  };
}
