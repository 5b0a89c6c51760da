/** A worker thread that answers each message. `asked_thread.ts` is the side that asks. */

/** The part of the worker's global scope that is used; the workspace's `lib` is the main thread's. */
export interface WorkerScope<Mail, News> {
  onmessage: ((event: MessageEvent<Mail>) => void) | null;
  postMessage(message: News): void;
}

/** Answers each message to this thread. An error of `answer` ends the thread. */
export function answerMessages<Request, Reply>(answer: (request: Request) => Reply): void {
  const scope = globalThis as unknown as WorkerScope<Request, Reply>;
  scope.onmessage = ({ data }) => scope.postMessage(answer(data));
}

/** An error that no request should cause, with its place in our code. */
export function bugText(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
