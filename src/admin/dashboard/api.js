// Calls of the API, and its streams of events. The token lives as long as the tab.

const KEY = "tyrian-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** What the API says is wrong. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let refused = () => {};
/** Called when the token is not accepted (any more). */
export const onRefused = (call) => (refused = call);

async function ask(path, options = {}) {
  const headers = { authorization: `Bearer ${token.get() ?? ""}`, ...options.headers };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The gateway does not answer.");
  }
  if (answer.status === 401) {
    refused();
    throw new Problem(401, "The token is not accepted.");
  }
  return answer;
}

async function json(path, options) {
  const answer = await ask(path, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok && body.outcome === undefined) throw new Problem(answer.status, body.detail ?? answer.statusText);
  return body;
}

const send = (method) => (path, body) =>
  json(path, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });

export const get = json;
export const post = send("POST");
export const put = send("PUT");
export const text = async (path) => (await ask(path)).text();

/**
 * Calls `load` now and every `pace` milliseconds until `signal` ends it, and `redraw` after each
 * call. What fails stays in `here.problem` until a call succeeds. Returns the function that loads
 * at once.
 */
export function polled(load, pace, here, { signal, redraw }) {
  const again = async () => {
    try {
      await load();
      here.problem = null;
    } catch (problem) {
      here.problem = problem;
    }
    redraw();
  };
  again();
  const clock = setInterval(again, pace);
  signal.addEventListener("abort", () => clearInterval(clock));
  return again;
}

/**
 * Follows a stream of events until `signal` ends it: `on[name](data)` for each, `on.open()` when
 * it runs, `on.down(problem)` when it has broken off. Comes back by itself.
 */
export async function follow(path, on, signal) {
  let pause = 500;
  while (!signal.aborted) {
    try {
      const answer = await ask(path, { signal });
      if (!answer.ok) throw new Problem(answer.status, (await answer.json()).detail);
      pause = 500;
      on.open?.();
      await read(answer.body.getReader(), on);
      throw new Problem(0, "The stream has ended.");
    } catch (problem) {
      if (signal.aborted) return;
      on.down?.(problem);
      if (problem.status >= 400 && problem.status < 500) return;
    }
    await new Promise((wake) => setTimeout(wake, pause));
    pause = Math.min(pause * 2, 8000);
  }
}

async function read(reader, on) {
  const decoder = new TextDecoder();
  let ahead = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    ahead += decoder.decode(value, { stream: true });
    const events = ahead.split("\n\n");
    ahead = events.pop();
    for (const event of events) {
      const fields = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.data) on[fields.event]?.(JSON.parse(fields.data));
    }
  }
}
