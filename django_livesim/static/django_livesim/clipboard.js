/** What is put into the clipboard, and how that is told. */

import { say } from "./words.js";

/** Put a text there; what is to be said of it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return say("copied");
  } catch {
    return say("not_copied");
  }
}

/** Let a button copy the field that it names, and what follows it say so. */
export function offer(button) {
  const field = document.getElementById(button.dataset.lsCopies);
  const told = button.nextElementSibling;
  button.hidden = !navigator.clipboard; // which only an address that is secure has
  button.addEventListener("click", async () => {
    told.textContent = "";
    field.select();
    told.textContent = await copy(field.value);
  });
}
