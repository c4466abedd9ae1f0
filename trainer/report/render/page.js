/* Script of the report's page: LaTeX to the clipboard, and shadows where a table or figure goes on beyond its edge. */
"use strict";
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.dataset.latex;
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // no permission, or a browser that has no clipboard for files
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    button.textContent = done ? "Copied" : "Could not copy";
    setTimeout(() => { button.textContent = "Copy LaTeX"; }, 1500);
  });
}
const boxes = [...document.querySelectorAll(".scroll")];
const mark = (box) => {
  const frame = box.parentElement, rest = box.scrollWidth - box.clientWidth - box.scrollLeft;
  frame.classList.toggle("more-right", rest > 2);
  frame.classList.toggle("more-below", box.scrollHeight - box.clientHeight - box.scrollTop > 2);
};
for (const box of boxes) box.addEventListener("scroll", () => mark(box), { passive: true });
const markAll = () => boxes.forEach(mark);
const observer = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
for (const box of boxes) observer.observe(box);
markAll();
