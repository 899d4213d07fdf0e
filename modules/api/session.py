"""Signing in and out with a browser: a small page, and the session behind its cookie."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from modules.accounts.people import SESSION_SECONDS
from modules.api.auth import proof_of
from modules.api.services import Services
from modules.contracts.accounts import SESSION_COOKIE
from modules.contracts.errors import NotSignedIn

router = APIRouter(tags=["session"])

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in to Atelier</title>
<style>
:root{color-scheme:light dark;--ink:#1d1a16;--dim:#6f675d;--ground:#faf8f5;--field:#fff;--edge:#d9d2c8;--bar:#bd4219}
@media (prefers-color-scheme:dark){:root{--ink:#f3efe9;--dim:#a39a8e;--ground:#141310;--field:#1e1c18;--edge:#3b362f;
--bar:#ea7d55}}
body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--ground)}
form{width:min(20rem,84vw);display:grid;gap:.9rem}
h1{font-weight:650;letter-spacing:-.02em;margin:0;text-align:center}
label{display:grid;gap:.25rem;color:var(--dim);font-size:.9rem}
input{font:inherit;padding:.55rem .7rem;border:1px solid var(--edge);border-radius:.5rem;background:var(--field);
color:var(--ink)}
button{font:inherit;font-weight:600;padding:.6rem;border:0;border-radius:.5rem;background:var(--bar);color:#fff;
cursor:pointer}
button:disabled{opacity:.6;cursor:default}
p{margin:0;min-height:1.5em;color:var(--bar);text-align:center}
</style></head><body><form><h1>Atelier</h1>
<label>Name<input name="name" autocomplete="username" autofocus required></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button><p role="alert"></p></form>
<script>
const form=document.querySelector("form"),said=document.querySelector("p"),button=document.querySelector("button");
form.addEventListener("submit",async event=>{event.preventDefault();button.disabled=true;said.textContent="";
try{const answer=await fetch("api/v1/session",{method:"POST",headers:{"content-type":"application/json"},
body:JSON.stringify(Object.fromEntries(new FormData(form)))});
if(answer.ok){location.replace("./");return}
said.textContent=(await answer.json()).detail}catch(error){said.textContent="The studio does not answer."}
button.disabled=false})
</script></body></html>"""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class Credentials(BaseModel):
    """Who wants to sign in."""

    name: str = Field(max_length=64, examples=["ada"])
    password: str = Field(max_length=1024, examples=["correct horse"])


class Self(BaseModel):
    """Who is signed in."""

    name: str
    role: str = Field(description="admin, user or guest.")
    open: bool = Field(description="Nobody has to sign in, because there are no accounts.")


@router.get("/sign-in", include_in_schema=False)
def sign_in_page() -> HTMLResponse:
    """The page with the two fields."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})


@router.post("/api/v1/session")
async def sign_in(studio: Services, given: Credentials, request: Request, response: Response) -> Self:
    """Sign in: sets the session's cookie, which scripts of the page cannot read. 401 for a wrong name or password."""
    address = proof_of(request).address
    caller = await asyncio.to_thread(studio.door.check, given.name, given.password, address)
    if caller is None:
        raise NotSignedIn("There is no account with that name and password.")
    text = await asyncio.to_thread(studio.door.sign_in, caller)
    below = request.scope.get("root_path", "").rstrip("/")
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(
        SESSION_COOKIE,
        text,
        max_age=int(SESSION_SECONDS),
        path=f"{below}/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )
    return Self(name=caller.name, role=caller.role, open=studio.door.open)


@router.get("/api/v1/session")
async def who_am_i(studio: Services, request: Request) -> Self:
    """Who is signed in. 401 for nobody."""
    caller = await asyncio.to_thread(studio.door.identify, proof_of(request))
    if caller is None:
        raise NotSignedIn("Nobody is signed in.")
    return Self(name=caller.name, role=caller.role, open=studio.door.open)


@router.delete("/api/v1/session")
async def sign_out(studio: Services, request: Request, response: Response) -> None:
    """Sign out; the cookie goes. Nothing happens to somebody who was not signed in."""
    session = proof_of(request).session
    if session:
        await asyncio.to_thread(studio.door.sign_out, session)
    response.delete_cookie(SESSION_COOKIE, path=f"{request.scope.get('root_path', '').rstrip('/')}/")
