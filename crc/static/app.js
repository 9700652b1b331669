/* Small comforts. Every page works without this file. */
"use strict";

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;

/* Times on pages are the reader's: the hub learns the zone from here. */
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const zoneCookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
const zoneKnown = document.cookie.split("; ").includes(`zone=${zone}`);
if (zone) document.cookie = location.protocol === "https:" ? `${zoneCookie}; secure` : zoneCookie;

/* On the very first page the form was made before the hub knew. */
function setZone(form) {
  const field = form.elements.time_zone;
  if (zoneKnown || !zone || !field || form.dataset.bound || field.value === zone) return;
  field.value = zone;
  const now = new Date();
  now.setMinutes(now.getMinutes() - now.getTimezoneOffset());
  form.elements.noticed_at.value = now.toISOString().slice(0, 16);
}

function switchTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
}

function markHit(select) {
  select.classList.toggle("hit", select.value !== "");
}

/* A report that is half written survives a reload or a wrong click, in this tab only and for this
   user only, until it is sent or they log out: nothing stays on a shared machine. */
const draftName = (what) => `draft:${what}:${document.body.dataset.user}`;

function forgetDrafts(which) {
  Object.keys(sessionStorage).filter((name) => name.startsWith("draft:") && which(name))
    .forEach((name) => sessionStorage.removeItem(name));
}

function keepDraft(form) {
  const name = draftName(form.dataset.draft);
  const kept = JSON.parse(sessionStorage.getItem(name) || "{}");
  const fields = [...form.elements].filter((e) => e.name && e.type !== "hidden");
  const ticked = () => [...form.querySelectorAll("[name=withheld]:checked")].map((e) => e.value);
  form.addEventListener("submit", () => sessionStorage.setItem(`${name}:sent`, "yes"));
  sessionStorage.removeItem(`${name}:sent`);
  if (!form.dataset.bound) {
    showRestored(form, name, Object.keys(kept).length > 0);
    for (const e of fields) {
      if (!(e.name in kept)) continue;
      if (e.type === "radio") e.checked = e.value === kept[e.name];
      else if (e.type === "checkbox") e.checked = kept[e.name];
      else e.value = kept[e.name];
    }
    /* What was ticked as private goes along with the text, to be ticked again in the preview. */
    for (const value of kept.withheld || []) {
      const tick = Object.assign(document.createElement("input"), { type: "checkbox", name: "withheld", value, checked: true, hidden: true });
      document.getElementById("understood").append(tick);
    }
    /* Also when the browser itself brought the text back. */
    addEventListener("load", () => {
      if (form.elements.technical.value || form.elements.narrative.value) {
        htmx.trigger("#reader", "draft-restored");
      }
    });
  }
  form.addEventListener("input", () => {
    const now = {};
    for (const e of fields) {
      if (e.type === "radio") { if (e.checked) now[e.name] = e.value; }
      else now[e.name] = e.type === "checkbox" ? e.checked : e.value;
    }
    now.withheld = ticked();
    try { sessionStorage.setItem(name, JSON.stringify(now)); } catch { /* full: no draft */ }
  });
}

function showRestored(form, name, restored) {
  const told = document.querySelector("[data-draft-restored]");
  told.hidden = !restored;
  told.querySelector("button").addEventListener("click", () => {
    sessionStorage.removeItem(name);
    location.reload();
  });
}

/* The clipboard is for https pages alone; elsewhere the old way still works. */
async function copyFrom(button) {
  const source = button.closest(".copy").querySelector("pre, code");
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
  button.dataset.idle ??= button.textContent;
  button.textContent = document.body.dataset.copied;
  setTimeout(() => { button.textContent = button.dataset.idle; }, 2000);
}

/* In the desk's tables the arrows move from row to row while a row's link has the focus. */
function moveByArrow(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const table = event.target.closest("table[data-rows]");
  if (!step || !table) return;
  const links = [...table.querySelectorAll("tbody a[id]")];
  const next = links[links.indexOf(event.target) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

document.addEventListener("keydown", moveByArrow);
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-copy]").forEach((b) => {
    b.hidden = false;
    b.addEventListener("click", () => copyFrom(b));
  });
  document.querySelectorAll("[data-theme-switch]").forEach((b) => {
    b.hidden = false;
    b.addEventListener("click", switchTheme);
  });
  const user = document.body.dataset.user;
  /* A session that ended by itself is taken up again by the same user, who finds the draft. */
  if (user) forgetDrafts((name) => name.split(":")[2] !== user);
  document.querySelectorAll("[data-forget-drafts]").forEach((form) =>
    form.addEventListener("submit", () => forgetDrafts(() => true)));
  document.querySelectorAll("[data-draft-sent]").forEach((e) => {
    const name = draftName(e.dataset.draftSent);
    if (sessionStorage.getItem(`${name}:sent`)) forgetDrafts((one) => one.startsWith(name));
  });
  document.querySelectorAll("form[data-draft]").forEach((form) => { setZone(form); keepDraft(form); });
  document.querySelectorAll(".systems select").forEach((s) => {
    markHit(s);
    s.addEventListener("change", () => markHit(s));
  });
  document.querySelectorAll("form[data-once]").forEach((form) =>
    form.addEventListener("submit", (event) => {
      const button = event.submitter || form.querySelector("button[type=submit]");
        button.disabled = true;
      button.dataset.idle ??= button.textContent;
      button.textContent = button.dataset.busy || document.body.dataset.busy;
    }));
  document.querySelector("[data-focus]")?.focus();
});

/* Back from the next page, a disabled button would stay so, with its busy words. */
addEventListener("pageshow", () =>
  document.querySelectorAll("form[data-once] button[type=submit]").forEach((b) => {
    b.disabled = false;
    if (b.dataset.idle) b.textContent = b.dataset.idle;
  }));
