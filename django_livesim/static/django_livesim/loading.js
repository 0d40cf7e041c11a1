/** What `ask` imports, as soon as it can be had: the server may be away just now. */

const AGAIN = 2000; // ms

export async function load(ask) {
  for (;;) {
    try {
      return await ask();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }
}
