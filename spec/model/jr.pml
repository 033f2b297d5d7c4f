/* jr.pml - ONE key on both sides: writers of all kinds, dirty-key journals on M and on P, replay both ways, recovery.
 * Side 0 = M, side 1 = P.  A row is (ex, mk, la): exists; mask of the columns written (writer i owns column i); the shared column
 * (id of its last writer).  A copy of the row carries all three, an update of writer i sets bit i and la - a partial-column update.
 *
 * Locks: M (InnoDB): everything waits for the lock owner, an uncommitted insert too; an absent key is locked by its gap under
 * REPEATABLE READ (gap against gap is simplified to a conflict), not at all with -DNOGAP (READ COMMITTED).
 * P (PostgreSQL): UPDATE/DELETE/SELECT FOR UPDATE do not see, and do not wait for, another's uncommitted insert; absent = no lock;
 * INSERT/upsert waits on the unique key.
 *
 * Writer kinds  1 = A1 (M, P, PREPARE P, COMMIT M, COMMIT PREPARED P)  2 = journaled (M + journal row, P, COMMIT M, COMMIT P, lazy delete of its row)
 *               3 = believes P down: M + journal row                   4 = believes M down: P + journal row on P
 *               0 = none.   Ops: 1 update, 2 insert, 3 delete.  -DK0=.. -DO0=.. -DK1 .. -DK2 ..   START=1|0: the row exists at first
 *   -DPICK=2|3: two / three writers, every kind, every op, START 0 and 1 in one run (-DOPS=':: o = 1' narrows the ops)
 * Faults: crash of writers after every step (NCRASH), P COMMIT / PREPARE / replay COMMIT answers lost with the command still under
 * way, restart of M (NRM) and of P (NRP); crash of replayers (each slot but the last may die).
 * -DRMP / -DRPM : replay M->P / P->M run (2 slots each)
 * -DSTRICT rule 6 rolls back (default: available, commits and marks the key dirty on M). An update on P writes M's whole row
 *   (-DPARTIAL: only the columns given)
 * Writers of kinds 1 and 2 fail when P's journal has the key, asked after their statement there (M_NOASK: they do not ask).
 *   DELSEEN is the default (delete exactly the journal rows listed before the state was read)
 * Mutations: M_DELALL (delete every journal row of the key, under the lock) M_DELAFTER (.. after letting go of the lock)
 *   M_LISTLATE (list after reading the state)  M_PIPE (BEGIN,write,COMMIT to P in one batch; on time-out the lock on M goes)
 *   M_RELEARLY (M's lock let go before P is written)  M_DELFIRST (journal rows deleted + M committed, then P commits)
 *   M_CHECKEARLY (conflict looked for before the other side is locked)  M_NOCHECK   M_RETRYP (journaled writer repeats its P statement after COMMIT M)
 *   M_LAZYBLIND (writer deletes its row though P's answer was lost / rows differed)   M_REV (P->M replay locks P first)
 *   M_SEQW (recovery and replay in one thread, no lock time-out)  M_MARKNONE (available, rule 6: nothing marked)
 *   M_PLAINREAD (replay reads the state before it has the lock)  M_NOHORIZON (an absent row of P is believed at once) */
#ifndef K0
#define K0 0
#endif
#ifndef K1
#define K1 0
#endif
#ifndef K2
#define K2 0
#endif
#ifndef O0
#define O0 1
#endif
#ifndef O1
#define O1 1
#endif
#ifndef O2
#define O2 1
#endif
#ifndef START
#define START 1
#endif
#ifndef NCRASH
#define NCRASH 1
#endif
#ifndef NRM
#define NRM 0
#endif
#ifndef NRP
#define NRP 0
#endif
#define NW 3
#define NX 7           /* 0..2 writers, 3,4 replay M->P, 5,6 replay P->M */
#define M 0
#define P 1
#define A(s,x) ((s)*NX+(x))
#define BIT(x) (1<<(x))

bit ex[2]; byte mk[2], la[2];
byte st[2*NX];         /* 0 none 1 open 2 prepared 3 committed 4 ended without */
bit wr[2*NX], uex[2*NX]; byte umk[2*NX], ula[2*NX];
byte lk[2];
byte jr[2*NX];         /* journal row of writer x on side s: 0 none 1 uncommitted 2 there */
byte pend[2*NX];       /* 1 COMMIT 2 PREPARE 3 whole batch, under way, nobody waits for the answer */
bit gone[NX];          /* the client of slot x is gone */
bit done[NW]; byte ack[NW]; byte kd[NW], wop[NW]; bit start;
byte ncrash = NCRASH, nrm = NRM, nrp = NRP;

#define DIRTY(s) (jr[A(s,0)] == 2 || jr[A(s,1)] == 2 || jr[A(s,2)] == 2)
#define LIST(s) ((jr[A(s,0)] == 2 -> 1 : 0) + (jr[A(s,1)] == 2 -> 2 : 0) + (jr[A(s,2)] == 2 -> 4 : 0))
#define EQ (ex[M] == ex[P] && mk[M] == mk[P] && la[M] == la[P])
#define OTHER(s,x) (lk[s] != 0 && lk[s] != (x)+1)

inline zap(s, x) { wr[A(s,x)] = 0; uex[A(s,x)] = 0; umk[A(s,x)] = 0; ula[A(s,x)] = 0; pend[A(s,x)] = 0;
  if :: lk[s] == (x)+1 -> lk[s] = 0 :: else fi }
inline rollb(s, x) { zap(s, x); if :: jr[A(s,x)] == 1 -> jr[A(s,x)] = 0 :: else fi; st[A(s,x)] = 4 }
inline commit(s, x) {
  if :: wr[A(s,x)] -> ex[s] = uex[A(s,x)]; mk[s] = umk[A(s,x)]; la[s] = ula[A(s,x)] :: else fi;
  zap(s, x); if :: jr[A(s,x)] == 1 -> jr[A(s,x)] = 2 :: else fi; st[A(s,x)] = 3 }
inline put(s, x, e, m, l) { wr[A(s,x)] = 1; uex[A(s,x)] = e; umk[A(s,x)] = m; ula[A(s,x)] = l; lk[s] = (x)+1 }
#ifdef NOGAP
#define GAPLOCK(x) skip
#else
#define GAPLOCK(x) lk[M] = (x)+1
#endif

/* one statement of writer x; rows: 0, 1, 9 = duplicate key, 8 = session gone */
inline stmt(s, x, op, rows) {
  if
  :: atomic { st[A(s,x)] == 4 -> rows = 8 }
  :: atomic { st[A(s,x)] != 4 && op == 2 && !OTHER(s,x) ->
       st[A(s,x)] = 1;
       if :: ex[s] -> rows = 9 :: else -> put(s, x, 1, BIT(x), x+1); rows = 1 fi }
  :: atomic { st[A(s,x)] != 4 && op != 2 && s == M && !OTHER(M,x) ->
       st[A(s,x)] = 1;
       if :: ex[M] && op == 1 -> put(M, x, 1, (mk[M] | BIT(x)), x+1); rows = 1
          :: ex[M] && op == 3 -> put(M, x, 0, 0, 0); rows = 1
          :: !ex[M] -> GAPLOCK(x); rows = 0 fi }
  :: atomic { st[A(s,x)] != 4 && op != 2 && s == P && (!OTHER(P,x) || !ex[P]) ->
       st[A(s,x)] = 1;
       if :: ex[P] && op == 1 ->
#ifndef PARTIAL
             if :: wr[A(M,x)] -> put(P, x, 1, umk[A(M,x)], ula[A(M,x)])   /* the primary's whole row */
                :: else -> put(P, x, 1, (mk[P] | BIT(x)), x+1) fi;
#else
             put(P, x, 1, (mk[P] | BIT(x)), x+1);
#endif
             rows = 1
          :: ex[P] && op == 3 -> put(P, x, 0, 0, 0); rows = 1
          :: !ex[P] -> rows = 0 fi }
  fi
}
#define CR :: atomic { ncrash > 0 -> ncrash--; goto dead }

proctype Writer(byte x, kind, op) {
  byte rm = 8, rp = 8; bit pok = 0;
  if
  :: kind == 4 ->
     stmt(P, x, op, rp);
     if :: rp > 1 -> goto fail :: else fi;
     if :: atomic { st[A(P,x)] == 1 -> jr[A(P,x)] = 1 } :: atomic { st[A(P,x)] == 4 -> goto fail } CR fi;
     if :: atomic { st[A(P,x)] == 1 -> commit(P, x); ack[x] = 1 } :: atomic { st[A(P,x)] == 4 -> goto fail } CR fi;
     goto dead
  :: kind != 4 -> skip
  fi;
  stmt(M, x, op, rm);
  if :: rm > 1 -> goto fail :: else fi;
  if :: atomic { kind == 2 || kind == 3 ->
          if :: st[A(M,x)] == 1 -> jr[A(M,x)] = 1 :: else -> goto fail fi }
     :: kind == 1
     CR fi;
  if
  :: kind == 3 -> skip
  :: kind != 3 ->
     stmt(P, x, op, rp);
     if :: rp > 1 -> goto fail :: else fi;
#ifndef M_NOASK
     if :: atomic { DIRTY(P) -> goto fail } :: atomic { !DIRTY(P) -> skip } fi;
#endif
     if
     :: kind == 1 ->
        if
        :: atomic { st[A(P,x)] == 1 -> st[A(P,x)] = 2 }
        :: atomic { st[A(P,x)] == 4 -> goto fail }
        :: atomic { st[A(P,x)] == 1 -> pend[A(P,x)] = 2; goto fail }
        CR
        fi;
        if
        :: rm != rp ->
#ifdef STRICT
           goto fail
#else
#ifdef M_MARKNONE
           skip
#else
           if :: atomic { st[A(M,x)] == 1 -> jr[A(M,x)] = 1 } :: atomic { st[A(M,x)] == 4 -> goto fail } fi
#endif
#endif
        :: else -> skip
        fi
     :: else -> skip
     fi
  fi;
  /* COMMIT M : the decision */
  if
  :: atomic { st[A(M,x)] == 1 -> commit(M, x); ack[x] = 1 }
  :: atomic { st[A(M,x)] == 4 -> goto fail }
  CR
  fi;
  if
  :: kind == 1 ->
     if
     :: atomic { st[A(P,x)] == 2 -> commit(P, x) }
     :: true
     fi
  :: kind == 2 ->
     if
     :: atomic { st[A(P,x)] == 1 -> commit(P, x); pok = (rm == rp) }
     :: atomic { st[A(P,x)] == 1 -> pend[A(P,x)] = 1 ;             /* answer lost */
#ifdef M_LAZYBLIND
          pok = 1
#endif
        }
     :: atomic { st[A(P,x)] == 4 -> skip }
     CR
     fi;
#ifdef M_RETRYP
     if
     :: atomic { !pok && pend[A(P,x)] == 0 && st[A(P,x)] == 4 && !OTHER(P,x) && ex[P] ->
          mk[P] = mk[P] | BIT(x); la[P] = x+1; pok = 1 }
     :: else -> skip
     fi;
#endif
     if
     :: pok -> if :: atomic { jr[A(M,x)] == 2 -> jr[A(M,x)] = 0 } :: atomic { jr[A(M,x)] != 2 -> skip } CR fi
     :: else -> skip
     fi
  :: kind == 3 -> skip
  fi;
  goto dead;
fail:
  ack[x] = 2;
dead:
  atomic { gone[x] = 1; done[x] = 1 }
}

/* recovery of A1; the fence itself is checked in ac.pml */
#define REC(x) \
  :: atomic { gone[x] && st[A(P,x)] == 2 && st[A(M,x)] == 3 -> commit(P, x) } \
  :: atomic { gone[x] && st[A(P,x)] == 2 && st[A(M,x)] == 4 -> rollb(P, x) }
proctype Recovery() {
end_rec:
  do
  REC(0) REC(1) REC(2)
  od
}

#define SRV(s,x) \
  :: atomic { pend[A(s,x)] == 1 && st[A(s,x)] == 1 -> commit(s, x) } \
  :: atomic { pend[A(s,x)] == 2 && st[A(s,x)] == 1 -> pend[A(s,x)] = 0; st[A(s,x)] = 2 } \
  :: atomic { gone[x] && st[A(s,x)] == 1 -> rollb(s, x) }
#define LATE(x) \
  :: atomic { pend[A(P,x)] == 3 && !OTHER(P,x) -> lk[P] = x+1; commit(P, x) } \
  :: atomic { pend[A(P,x)] == 3 -> rollb(P, x) }
#define DOWN(s,x) if :: st[A(s,x)] == 1 -> rollb(s, x) :: else fi
proctype Servers() {
end_srv:
  do
  SRV(M,0) SRV(M,1) SRV(M,2) SRV(P,0) SRV(P,1) SRV(P,2)
#ifdef RMP
  SRV(M,3) SRV(M,4) SRV(P,3) SRV(P,4)
#ifdef M_PIPE
  LATE(3)
#endif
#endif
#ifdef RPM
  SRV(M,5) SRV(M,6) SRV(P,5) SRV(P,6)
#endif
  :: atomic { nrm > 0 -> nrm--; DOWN(M,0); DOWN(M,1); DOWN(M,2); DOWN(M,3); DOWN(M,4); DOWN(M,5); DOWN(M,6) }
  :: atomic { nrp > 0 -> nrp--; DOWN(P,0); DOWN(P,1); DOWN(P,2); DOWN(P,3); DOWN(P,4); DOWN(P,5); DOWN(P,6) }
  od
}

inline forget(s, l) { if :: l & 1 -> jr[A(s,0)] = 0 :: else fi; if :: l & 2 -> jr[A(s,1)] = 0 :: else fi; if :: l & 4 -> jr[A(s,2)] = 0 :: else fi }
#define ALIVE(x) (st[A(P,x)] == 1 || st[A(P,x)] == 2)
#define OLDER ((ALIVE(0) -> 1 : 0) + (ALIVE(1) -> 2 : 0) + (ALIVE(2) -> 4 : 0) + (ALIVE(3) -> 8 : 0) + \
  (ALIVE(4) -> 16 : 0) + (ALIVE(5) -> 32 : 0) + (ALIVE(6) -> 64 : 0))
/* Of a row that the secondary does not have when it is asked: every transaction that is open there
 * then has to end. (One that takes too long is left for later: that is a death here.) */
inline horizon(x) {
  atomic { w = 0; absent = 0;
    if :: ex[P] -> skip :: else -> absent = 1; w = OLDER fi };
  atomic { (w & OLDER) == 0 || st[A(M,x)] == 4 -> w = 0 }
}
#ifdef M_NOHORIZON
#define BELIEVED 1
#else
#define BELIEVED absent
#endif
#define RDIE(l) :: atomic { x == l -> gone[x] = 1; x++; goto again }     /* the first slot may die here, another takes over */
inline reset() { e = 0; m = 0; l = 0; jl = 0; w = 0; absent = 0 }
inline rback(x) { if :: st[A(M,x)] == 1 -> rollb(M, x) :: else fi; if :: st[A(P,x)] == 1 -> rollb(P, x) :: else fi; st[A(M,x)] = 0; st[A(P,x)] = 0 }
#define LOSTM atomic { st[A(M,x)] == 4 -> rback(x); goto again }
#define LOSTP atomic { st[A(P,x)] == 4 -> rback(x); goto again }

proctype ReplayMP() {
  byte x = 3, m, l, jl, w; bit e, absent;
again:
  atomic { reset() };
end_r:
  do
  :: atomic { DIRTY(M) && !DIRTY(P) -> jl = LIST(M); st[A(M,x)] = 0; st[A(P,x)] = 0; break }
#ifdef M_SEQW
  REC(0) REC(1) REC(2)
#endif
  od;
#ifdef M_PLAINREAD
  atomic { e = ex[M]; m = mk[M]; l = la[M] };
#endif
  /* lock the row on M and read it, in one locking read */
  if
  :: atomic { !OTHER(M,x) -> st[A(M,x)] = 1;
#ifdef NOGAP
       if :: ex[M] -> lk[M] = x+1 :: else fi;
#else
       lk[M] = x+1;
#endif
#ifndef M_PLAINREAD
       e = ex[M]; m = mk[M]; l = la[M]
#endif
     }
  RDIE(3)
  fi;
#ifdef M_LISTLATE
  if :: atomic { st[A(M,x)] == 1 -> jl = LIST(M) } :: LOSTM fi;
#endif
#ifdef M_RELEARLY
  if :: atomic { st[A(M,x)] == 1 && lk[M] == x+1 -> lk[M] = 0 } :: atomic { st[A(M,x)] == 1 && lk[M] != x+1 -> skip } :: LOSTM fi;
#endif
#ifdef M_CHECKEARLY
  if :: atomic { DIRTY(P) -> rback(x); goto again } :: atomic { !DIRTY(P) -> skip } fi;
#endif
#ifdef M_PIPE
  if
  :: atomic { x == 3 -> wr[A(P,x)] = 1; uex[A(P,x)] = e; umk[A(P,x)] = m; ula[A(P,x)] = l; pend[A(P,x)] = 3; st[A(P,x)] = 1; gone[x] = 1; x = 4; goto again }
  :: true
  fi;
#endif
#ifndef M_NOHORIZON
  if :: !e -> horizon(x) :: else -> skip fi;
#endif
  /* lock the row on P and write it */
  if
  :: atomic { e && !OTHER(P,x) -> st[A(P,x)] = 1; put(P, x, 1, m, l) }
  :: atomic { !e && ex[P] && !OTHER(P,x) -> st[A(P,x)] = 1; put(P, x, 0, 0, 0) }
  :: atomic { !e && !ex[P] && BELIEVED -> st[A(P,x)] = 1 }
  :: atomic { !e && !ex[P] && !BELIEVED -> rback(x); goto again }      /* it went in between */
  :: LOSTM
  RDIE(3)
  fi;
#if !defined(M_CHECKEARLY) && !defined(M_NOCHECK)
  /* dirty on P too? asked after P's row is locked, with a fresh snapshot */
  if
  :: atomic { DIRTY(P) -> rback(x); goto again }
  :: atomic { !DIRTY(P) -> skip }
  RDIE(3)
  fi;
#endif
#ifdef RECHECK
  /* a locking read again, before P commits */
  if
  :: atomic { st[A(M,x)] == 1 && !OTHER(M,x) && (ex[M] != e || mk[M] != m || la[M] != l) -> rback(x); goto again }
  :: atomic { st[A(M,x)] == 1 && !OTHER(M,x) && ex[M] == e && mk[M] == m && la[M] == l -> skip }
  :: LOSTM
  fi;
#endif
#ifdef M_DELFIRST
  if :: atomic { st[A(M,x)] == 1 -> forget(M, jl); commit(M, x) } :: LOSTM fi;
  if
  :: atomic { st[A(P,x)] == 1 -> commit(P, x) }
  :: LOSTP
  RDIE(3)
  fi;
#else
  if
  :: atomic { st[A(P,x)] == 1 && st[A(M,x)] == 1 -> commit(P, x) }
  :: atomic { st[A(P,x)] == 1 && x == 3 -> pend[A(P,x)] = 1; gone[x] = 1; x = 4; goto again }   /* answer lost */
  :: LOSTP
  :: LOSTM
  RDIE(3)
  fi;
#ifdef M_DELAFTER
  if :: atomic { st[A(M,x)] == 1 -> commit(M, x) } :: LOSTM fi;
  atomic { jl = LIST(M); forget(M, jl) };
#else
  if
  :: atomic { st[A(M,x)] == 1 ->
#ifdef M_DELALL
       jl = LIST(M);
#endif
       forget(M, jl); commit(M, x) }
  :: LOSTM
  RDIE(3)
  fi;
#endif
#endif
  goto again
}

proctype ReplayPM() {
  byte x = 5, m, l, jl, w; bit e, absent;
again:
  atomic { reset() };
end_r:
  do
  :: atomic { DIRTY(P) && !DIRTY(M) -> jl = LIST(P); st[A(M,x)] = 0; st[A(P,x)] = 0; break }
  od;
#ifndef M_REV
  /* M's row first, as every writer does */
  if
  :: atomic { !OTHER(M,x) -> st[A(M,x)] = 1;
#ifdef NOGAP
       if :: ex[M] -> lk[M] = x+1 :: else fi
#else
       lk[M] = x+1
#endif
     }
  RDIE(5)
  fi;
#endif
#ifndef M_NOHORIZON
  horizon(x);
#endif
  /* then P's, and read it */
  if
  :: atomic { ex[P] && !OTHER(P,x) -> st[A(P,x)] = 1; lk[P] = x+1; e = 1; m = mk[P]; l = la[P] }
  :: atomic { !ex[P] && BELIEVED -> st[A(P,x)] = 1; e = 0; m = 0; l = 0 }
  :: atomic { !ex[P] && !BELIEVED -> rback(x); goto again }
#ifndef M_REV
  :: LOSTM
#endif
  RDIE(5)
  fi;
#ifdef M_LISTLATE
  if :: atomic { st[A(P,x)] == 1 -> jl = LIST(P) } :: LOSTP fi;
#endif
#ifdef M_REV
  if
  :: atomic { !OTHER(M,x) -> st[A(M,x)] = 1; lk[M] = x+1 }
  :: LOSTP
  RDIE(5)
  fi;
#endif
#ifndef M_NOCHECK
  if
  :: atomic { DIRTY(M) -> rback(x); goto again }
  :: atomic { !DIRTY(M) -> skip }
  RDIE(5)
  fi;
#endif
  if
  :: atomic { st[A(M,x)] == 1 && !OTHER(M,x) -> put(M, x, e, m, l) }
  :: LOSTM
  RDIE(5)
  fi;
  if
  :: atomic { st[A(M,x)] == 1 -> commit(M, x) }
  :: atomic { st[A(M,x)] == 1 && x == 5 -> pend[A(M,x)] = 1; gone[x] = 1; x = 6; goto again }
  :: LOSTM
  RDIE(5)
  fi;
  if
  :: atomic { st[A(P,x)] == 1 ->
#ifdef M_DELALL
       jl = LIST(P);
#endif
       forget(P, jl); commit(P, x) }
  :: LOSTP
  RDIE(5)
  fi;
  goto again
}

#define IDLE(x) (st[A(M,x)] != 1 && st[A(M,x)] != 2 && st[A(P,x)] != 1 && st[A(P,x)] != 2)
#define QUIET (IDLE(0) && IDLE(1) && IDLE(2) && IDLE(3) && IDLE(4) && IDLE(5) && IDLE(6))
proctype Invariant() {
end_inv:
  atomic { QUIET && !EQ && !DIRTY(M) && !DIRTY(P) -> assert(false) }   /* differs, and no journal names it */
}

#define HAS(s,x) ((mk[s] >> (x)) & 1)
#define UPD (start && wop[0] == 1 && wop[1] == 1 && wop[2] == 1)
proctype Check() {
  timeout;
  d_step {
    assert((kd[0] == 0 || done[0]) && (kd[1] == 0 || done[1]) && (kd[2] == 0 || done[2]));
    assert(QUIET);
    if
    :: DIRTY(M) && DIRTY(P) ->
       skip;      /* a conflict: for a person. nothing acknowledged may have vanished from both sides */
       assert(!UPD || ack[0] != 1 || HAS(M,0) || HAS(P,0));
       assert(!UPD || ack[1] != 1 || HAS(M,1) || HAS(P,1));
       assert(!UPD || ack[2] != 1 || HAS(M,2) || HAS(P,2))
    :: else ->
#ifdef RMP
       assert(!DIRTY(M));
#endif
#ifdef RPM
       assert(!DIRTY(P));
#endif
       assert(EQ || DIRTY(M) || DIRTY(P));
       assert(!UPD || ack[0] != 1 || HAS(M,0));
       assert(!UPD || ack[1] != 1 || HAS(M,1));
       assert(!UPD || ack[2] != 1 || HAS(M,2));
       assert(ack[0] != 2 || !HAS(M,0));
       assert(ack[1] != 2 || !HAS(M,1));
       assert(ack[2] != 2 || !HAS(M,2))
    fi
  }
}

#ifndef OPS
#define OPS :: o = 1 :: o = 2 :: o = 3
#endif
inline pickone(i) {
  if :: k = 1 :: k = 2 :: k = 3 :: k = 4 fi;
  if OPS fi;
  if :: i > 0 && (kd[i-1] > k || kd[i-1] == k && wop[i-1] > o) -> k = kd[i-1]; o = wop[i-1] :: else fi;   /* order does not matter */
  kd[i] = k; wop[i] = o
}
init {
  byte k, o;
  atomic {
#ifdef PICK
    if :: start = 0 :: start = 1 fi;
    ex[M] = start; ex[P] = start;
    pickone(0); pickone(1);
#if PICK > 2
    pickone(2);
#else
    wop[2] = 1;
#endif
    k = 0; o = 0;
#else
    start = START; ex[M] = START; ex[P] = START;
    kd[0] = K0; kd[1] = K1; kd[2] = K2; wop[0] = O0; wop[1] = O1; wop[2] = O2;
#endif
    run Servers(); run Check(); run Invariant();
#ifndef M_SEQW
    run Recovery();
#endif
    if :: kd[0] > 0 -> run Writer(0, kd[0], wop[0]) :: else fi;
    if :: kd[1] > 0 -> run Writer(1, kd[1], wop[1]) :: else fi;
    if :: kd[2] > 0 -> run Writer(2, kd[2], wop[2]) :: else fi;
#ifdef RMP
    run ReplayMP();
#endif
#ifdef RPM
    run ReplayPM();
#endif
  }
}
