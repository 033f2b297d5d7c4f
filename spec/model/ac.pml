/*
 * ac.pml - one gid over two servers: the decision row and the fence (A1, A2, and one server alone).
 *
 * D is the side that decides, S the one that is prepared: A1 has D = primary, S = secondary; with -DA2
 * it is the other way round; with -DSOLO there is no S (journaled, primary_only, secondary_only: what
 * becomes of the other side there is in jr.pml). Two owners write the SAME row, each under its gid.
 *
 * What can happen: an owner dies after any step or is delayed for any time (its sessions end on the
 * servers at any later moment); the answer of PREPARE or of the decision is lost and the command is
 * executed later or never; COMMIT fails on a living connection; either server restarts (what is not
 * prepared is gone); a PostgreSQL transaction has failed, so that its COMMIT or PREPARE answers
 * ROLLBACK; statements that were sent to PostgreSQL run when their sender is long gone. Resolvers list
 * prepared transactions at any time, those of living owners too, and may stop after any step. An asker
 * asks what became of a gid. Decision rows are removed.
 *
 * Held at the end: both sides or neither; nothing is in doubt or locked; nobody was told a lie; and
 * the rows are equal.
 *
 * Mutations, each of which has to be caught:
 *   MUT_NOFENCE     recovery rolls back when it sees no 'C'
 *   MUT_NOTAG       the tag ROLLBACK is not looked at
 *   MUT_ABORTUNK    after an unknown COMMIT the owner rolls the prepared side back without the fence
 *   MUT_LAST        the decision row is the last statement, not the first
 *   MUT_OVERLAP     the statement is sent to both sides at once
 *   MUT_FORGET      the owner lets the decision row go though S has not confirmed
 *   MUT_OLDPREP     old decision rows are removed without asking what is prepared on S
 *   MUT_STOPPED     an owner asks on after its decision row is old enough to be removed
 *   MUT_EARLY       S is committed before the decision (the test builds' DUALDB_BREAK=early_commit)
 *   MUT_REPORT      recovery calls "rolled back" whatever it fenced and does not find any more
 * Budgets: NRES resolvers, NRD and NRS restarts, NFAIL failed transactions, NCRASH deaths, NLOST lost
 * answers before the decision. A death or a lost answer also ends a wait: with -DNCRASH=0 -DNLOST=0
 * every wait has to end by itself.
 */
#ifndef NRES
#define NRES 2
#endif
#ifndef NRD
#define NRD 1
#endif
#ifndef NRS
#define NRS 1
#endif
#ifndef NFAIL
#define NFAIL 1
#endif
#ifndef NCRASH
#define NCRASH 2
#endif
#ifndef NLOST
#define NLOST 1
#endif

#define NONE 0
#define OPEN 1
#define FAILED 2     /* PostgreSQL: the transaction has failed; locks and rows are gone already */
#define PREP 3
#define COMM 4
#define RB   5

#define A_NONE 0
#define A_APPLIED 1
#define A_NOT 2
#define A_UNKNOWN 3

byte D[2], S[2];
byte dec[2];               /* 0 no row, 1 'C' not committed, 2 'C', 3 'A' */
byte q[2];                 /* sent to PostgreSQL and not run: 1 the statement, 2 PREPARE behind it */
bit tag[2];                /* PREPARE has answered ROLLBACK */
bit dgone[2], sgone[2];    /* the client has left the session, or lost it */
bit dpend[2], spend[2];    /* COMMIT on D, XA PREPARE on S under way, nobody waits for the answer */
bit satt[2];               /* an XA branch that its living session keeps for itself (MariaDB) */
byte drow, srow, duc[2], suc[2];
byte dlk, slk;             /* the owner's gid + 1 */
byte ans[2], said[2];      /* what the owner, and the asker, told their callers */
bit lied;                  /* recovery called a committed write rolled back */
bit done[2];
bit known[2];              /* the owner gave the decision row up for removal */
byte nrd = NRD, nrs = NRS, nfail = NFAIL, ncrash = NCRASH, losses = NLOST;

inline d_abort(g, st) {
  D[g] = st; dpend[g] = 0; duc[g] = 0;
  if :: dlk == g+1 -> dlk = 0 :: else fi;
  if :: dec[g] == 1 -> dec[g] = 0 :: else fi;
#ifdef A2
  q[g] = 0;
#endif
}
inline d_commit(g) {
  D[g] = COMM; drow = duc[g]; duc[g] = 0; dlk = 0; dpend[g] = 0;
  if :: dec[g] == 1 -> dec[g] = 2 :: else fi
}
inline s_abort(g, st) {
  S[g] = st; spend[g] = 0; suc[g] = 0; satt[g] = 0;
  if :: slk == g+1 -> slk = 0 :: else fi
}
inline s_commit(g) { S[g] = COMM; srow = suc[g]; suc[g] = 0; slk = 0; satt[g] = 0 }

#ifdef A2
#define POSTGRES_D 1
#define FREE(g) (!satt[g])
#else
#define POSTGRES_D 0
#define FREE(g) 1
#endif
#define DIES :: atomic { ncrash > 0 -> ncrash--; goto dead }
#define LOCKD(g) dlk = g+1; D[g] = OPEN; duc[g] = drow*3+g+1
#define LOCKS(g) slk = g+1; S[g] = OPEN; suc[g] = srow*3+g+1

proctype Owner(byte g) {
  bit conf = 0;

#ifdef MUT_LAST
  atomic { D[g] = OPEN };
#else
  if                                                        /* begun */
  :: atomic { dec[g] == 0 && D[g] == NONE -> D[g] = OPEN; dec[g] = 1 }
  :: atomic { dec[g] == 3 -> goto notapplied }              /* duplicate key: it is fenced */
  DIES
  fi;
#endif

#ifdef SOLO
  if                                                        /* written */
  :: atomic { dlk == 0 && D[g] <= OPEN -> LOCKD(g) }
  :: atomic { D[g] > OPEN -> goto notapplied }
  DIES
  fi;
#elif defined(A2)
  if                                                        /* started, written */
  :: atomic { slk == 0 && S[g] == NONE -> LOCKS(g) }
  :: atomic { S[g] == RB -> goto abort }
  DIES
  fi;
  if                                                        /* trailed */
  :: atomic { D[g] <= FAILED -> q[g] = 1 }
  :: atomic { D[g] == RB -> goto abort }
  :: atomic { true -> goto abort }                          /* fn fails */
  DIES
  fi;
  if                                                        /* settled */
  :: atomic { q[g] == 0 && D[g] == OPEN }
  :: atomic { D[g] == FAILED || D[g] == RB -> goto abort }
  :: atomic { losses > 0 -> losses--; dgone[g] = 1; goto abort }  /* the answer is lost */
  DIES
  fi;
  if                                                        /* ended, prepared */
  :: atomic { S[g] == OPEN -> S[g] = PREP; satt[g] = 1 }
  :: atomic { S[g] == RB -> goto abort }
  :: atomic { losses > 0 && S[g] == OPEN -> losses--; spend[g] = 1; sgone[g] = 1; goto abort }
  DIES
  fi;
#else
#ifdef MUT_OVERLAP
  do
  :: atomic { duc[g] == 0 && dlk == 0 && D[g] == OPEN -> LOCKD(g) }
  :: atomic { D[g] > OPEN -> goto notapplied }
  :: atomic { q[g] == 0 && S[g] == NONE -> q[g] = 1 }
  :: atomic { duc[g] != 0 && (q[g] > 0 || S[g] > NONE) -> break }
  DIES
  od;
#else
  if                                                        /* written */
  :: atomic { dlk == 0 && D[g] <= OPEN -> LOCKD(g) }
  :: atomic { D[g] > OPEN -> goto notapplied }
  DIES
  fi;
  if                                                        /* trailed */
  :: atomic { true -> q[g] = 1 }
  :: atomic { true -> goto abort }                          /* fn fails */
  DIES
  fi;
#endif
  if                                                        /* prepare_sent: nothing is answered yet */
  :: atomic { S[g] != RB -> q[g] = 2 }
  :: atomic { S[g] == RB -> goto abort }
  DIES
  fi;
  if                                                        /* prepared */
  :: atomic { S[g] == PREP }
#ifdef MUT_NOTAG
  :: atomic { S[g] == RB && tag[g] }
#else
  :: atomic { S[g] == RB && tag[g] -> goto abort }
#endif
  :: atomic { S[g] == RB && !tag[g] -> goto abort }
  :: atomic { losses > 0 -> losses--; sgone[g] = 1; goto abort }  /* the answer is lost */
  DIES
  fi;
#endif

#ifdef MUT_EARLY
  if :: atomic { S[g] == PREP && FREE(g) -> s_commit(g) } :: atomic { S[g] != PREP } DIES fi;
#endif
#ifdef MUT_LAST
  if
  :: atomic { D[g] == OPEN && dec[g] == 0 -> dec[g] = 1 }
  :: atomic { D[g] == OPEN && dec[g] == 3 -> goto abort }
  :: atomic { D[g] > OPEN -> goto abort }
  DIES
  fi;
#endif

  if                                                        /* decided */
  :: atomic { D[g] == OPEN -> d_commit(g); goto applied }
  :: atomic { D[g] == OPEN -> d_abort(g, RB); goto unknown }/* an error on a living connection */
  :: atomic { D[g] == FAILED -> d_abort(g, RB);
#ifdef MUT_NOTAG
       goto applied
#else
       goto abort
#endif
     }
  :: atomic { D[g] == RB -> goto unknown }                  /* the session is gone: was it before? */
  :: atomic { D[g] == OPEN -> d_commit(g); dgone[g] = 1; goto unknown }
  :: atomic { D[g] == OPEN || D[g] == FAILED -> dpend[g] = 1; dgone[g] = 1; goto unknown }
  DIES
  fi;

unknown:                                                    /* recovery.resolve */
#ifdef MUT_ABORTUNK
  goto abort;
#endif
  if
  :: atomic { dec[g] == 0 -> dec[g] = 3; goto abort }       /* fenced */
  :: atomic { dec[g] == 3 -> goto abort }
  :: atomic { dec[g] == 2 -> goto applied }
  :: atomic { dec[g] == 1 && dgone[g] -> d_abort(g, RB); goto unknown }   /* its own lost session */
  :: atomic { true -> ans[g] = A_UNKNOWN; goto fin }        /* the deadline has come */
  DIES
  fi;

abort:                                                      /* COMMIT was never sent, or 'A' is in */
  if
  :: atomic { !dgone[g] && (D[g] == OPEN || D[g] == FAILED) -> d_abort(g, RB) }
  :: atomic { dgone[g] || (D[g] != OPEN && D[g] != FAILED) }
  DIES
  fi;
#ifndef SOLO
  if
  :: atomic { !sgone[g] && S[g] == PREP -> s_abort(g, RB) }
  :: atomic { sgone[g] && S[g] == PREP && FREE(g) && (dec[g] == 0 || dec[g] == 3) ->
       dec[g] = 3; s_abort(g, RB) }
  :: true                                                   /* not reached: left to recovery */
  DIES
  fi;
#endif
notapplied:
  ans[g] = A_NOT; goto fin;

applied:
#ifdef SOLO
  conf = 1;
#else
  if                                                        /* finished */
  :: atomic { S[g] == PREP && (!sgone[g] || FREE(g)) -> s_commit(g); conf = 1 }
  :: atomic { S[g] == COMM -> conf = 1 }                    /* recovery was faster: not listed */
  :: true                                                   /* follows later */
  DIES
  fi;
#endif
#ifdef MUT_FORGET
  conf = 1;
#endif
  atomic { ans[g] = A_APPLIED; known[g] = conf };
fin:
dead:
  atomic { dgone[g] = 1; sgone[g] = 1; done[g] = 1 }
}

/* Recovery by anybody: lists, fences, finishes. */
proctype Resolver(bit mortal) {
  byte g, r;
end_r:
  do
  :: atomic { S[0] == PREP -> g = 0 }; break
  :: atomic { S[1] == PREP -> g = 1 }; break
  od;
#ifdef MUT_NOFENCE
  atomic { if :: dec[g] == 2 -> r = 2 :: else -> r = 3 fi };
#else
  if                                                        /* fenced; waits while 'C' is uncommitted */
  :: atomic { dec[g] == 0 -> dec[g] = 3; r = 3 }
  :: atomic { dec[g] == 2 -> r = 2 }
  :: atomic { dec[g] == 3 -> r = 3 }
  :: atomic { dec[g] == 1 -> r = 0 }                        /* the wait has timed out: owner alive */
  fi;
#endif
  if                                                        /* finished */
  :: atomic { r == 0 }
  :: atomic { r == 2 && S[g] == PREP && FREE(g) -> s_commit(g) }
  :: atomic { r == 3 && S[g] == PREP && FREE(g) -> s_abort(g, RB) }
  :: atomic { r != 0 && S[g] == PREP && !FREE(g) }          /* 1397, and it is listed */
  :: atomic { r != 0 && S[g] != PREP ->                     /* somebody else has finished it */
#ifdef MUT_REPORT
       if :: r == 3 && S[g] == COMM -> lied = 1 :: else fi
#endif
     }
  :: atomic { mortal -> goto stop }
  fi;
  atomic { g = 0; r = 0 };
  goto end_r;
stop: skip
}

/* db:outcome(gid), of an owner that was not told (what it says then has to be true), or of any. */
#ifdef ASK
proctype Asker() {
end_a:
  do
  :: atomic { D[0] != NONE && dec[0] == 0 -> dec[0] = 3;
       if :: ans[0] == A_UNKNOWN -> said[0] = A_NOT :: else fi; break }
  :: atomic { D[0] != NONE && dec[0] == 3 -> if :: ans[0] == A_UNKNOWN -> said[0] = A_NOT :: else fi; break }
  :: atomic { dec[0] == 2 -> said[0] = A_APPLIED; break }
  od
}
#endif

#ifdef A2
#define RUN(g) \
  :: atomic { q[g] == 1 && D[g] == OPEN && dlk == 0 -> LOCKD(g); q[g] = 0 } \
  :: atomic { q[g] == 1 && D[g] == FAILED -> q[g] = 0 } \
  :: atomic { spend[g] && S[g] == OPEN -> spend[g] = 0; S[g] = PREP; satt[g] = 1 } \
  :: atomic { sgone[g] && S[g] == PREP && satt[g] -> satt[g] = 0 }
#else
#define RUN(g) \
  :: atomic { q[g] > 0 && S[g] == NONE && slk == 0 -> LOCKS(g) } \
  :: atomic { q[g] == 2 && S[g] == OPEN -> q[g] = 0; S[g] = PREP } \
  :: atomic { q[g] == 2 && S[g] == FAILED -> q[g] = 0; s_abort(g, RB); tag[g] = 1 } \
  :: atomic { q[g] > 0 && S[g] == NONE && sgone[g] -> q[g] = 0; s_abort(g, RB) }
#endif
#define SRV(g) \
  RUN(g) \
  :: atomic { dpend[g] && D[g] == OPEN -> d_commit(g) } \
  :: atomic { dpend[g] && D[g] == FAILED -> d_abort(g, RB) } \
  :: atomic { dgone[g] && (D[g] == OPEN || D[g] == FAILED) -> d_abort(g, RB) } \
  :: atomic { sgone[g] && (S[g] == OPEN || S[g] == FAILED) -> q[g] = 0; s_abort(g, RB) } \
  :: atomic { !POSTGRES_D && nfail > 0 && S[g] == OPEN -> nfail--; s_abort(g, FAILED) } \
  :: atomic { POSTGRES_D && nfail > 0 && D[g] == OPEN -> nfail--; d_abort(g, FAILED) }
#define DOWN_D(g) if :: D[g] == OPEN || D[g] == FAILED -> d_abort(g, RB) :: else fi
#ifdef A2
#define DOWN_S(g) if :: S[g] == OPEN || S[g] == FAILED -> s_abort(g, RB) :: else fi; satt[g] = 0
#else
#define DOWN_S(g) \
  if :: S[g] == OPEN || S[g] == FAILED || q[g] > 0 && S[g] == NONE -> s_abort(g, RB); q[g] = 0 \
     :: else fi
#endif

proctype Servers() {
end_s:
  do
  SRV(0)
  SRV(1)
  :: atomic { nrd > 0 -> nrd--; DOWN_D(0); DOWN_D(1) }
  :: atomic { nrs > 0 -> nrs--; DOWN_S(0); DOWN_S(1) }
  od
}

/* commit.decided: the owner knows, and S has confirmed. remove_old: the owner's session is over, a
 * day has passed, and S does not list it; an owner has ended by then, and whoever was told "unknown"
 * has asked. Abort rows: at any time. */
#if defined(MUT_OLDPREP)
#define OLD(g) (done[g])
#elif defined(MUT_STOPPED)
#define OLD(g) (dgone[g] && S[g] != PREP)
#else
#define OLD(g) (done[g] && S[g] != PREP)
#endif
#define REMOVE(g) \
  :: atomic { dec[g] == 2 && (known[g] || OLD(g)) && ans[g] != A_UNKNOWN -> dec[g] = 0 } \
  :: atomic { dec[g] == 3 -> dec[g] = 0 }
proctype Removal() {
end_g:
  do
  REMOVE(0)
  REMOVE(1)
  od
}

#ifdef SOLO
#define SAME(g) 1
#else
#define SAME(g) ((D[g] == COMM) == (S[g] == COMM))
#endif
#define HOLDS(g) \
  assert(done[g]);                                          /* else: a wait that nobody ends */ \
  assert(S[g] != PREP && D[g] != OPEN && S[g] != OPEN); \
  assert(SAME(g)); \
  assert(ans[g] != A_APPLIED || D[g] == COMM); \
  assert(ans[g] != A_NOT || D[g] != COMM); \
  assert(said[g] != A_APPLIED || D[g] == COMM); \
  assert(said[g] != A_NOT || D[g] != COMM)

proctype Check() {
  timeout;
  d_step {
    HOLDS(0);
    HOLDS(1);
    assert(!lied);
#ifndef SOLO
    assert(drow == srow)
#endif
  }
}

init {
  atomic {
    run Servers(); run Check(); run Removal();
    run Owner(0); run Owner(1);
#ifndef SOLO
    run Resolver(0);
#if NRES > 1
    run Resolver(1);
#endif
#endif
#ifdef ASK
    run Asker();
#endif
  }
}
