/**
 * Tells work that nobody wants its result any more: what of an AbortSignal this project's work asks. An AbortSignal is
 * one, and so is a `StopSource`, which is light enough to be made for every request.
 */
export interface StopSignal {
  readonly aborted: boolean;
  /** What the work is to be rejected with. */
  readonly reason: unknown;
  /** @throws the reason, where it is aborted */
  throwIfAborted(): void;
  /** Calls once, when it aborts; never where it did already. */
  addEventListener(type: 'abort', listener: () => void, options: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** A signal, and the way to abort it. Unlike Node's AbortController it is a plain object until somebody listens. */
export class StopSource implements StopSignal {
  aborted = false;
  reason: unknown;
  private listeners: Set<() => void> | undefined;

  /** Aborts the work; the first reason counts. */
  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    for (const listener of this.listeners ?? []) listener();
    this.listeners = undefined;
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (!this.aborted) (this.listeners ??= new Set()).add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.listeners?.delete(listener);
  }
}
