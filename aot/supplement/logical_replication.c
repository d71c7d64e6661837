/* What pgoutput.so imports: the messages of the logical replication protocol (PostgreSQL's
 * documentation, "Logical Replication Message Formats"), and what it asks about publications. */
#include "guest.h"

extern const char wasm_func_type_ijii_v[];

/* Offsets in PostgreSQL's structs, and its numbers. */
enum {
  /* StringInfoData, lib/stringinfo.h. */
  kStringData = 0,
  kStringLength = 4,
  /* List, nodes/pg_list.h. A cell is a word. */
  kListType = 0,
  kListLength = 4,
  kListElements = 12,
  kXidList = 473, /* T_XidList */
  /* LogicalDecodingContext, replication/logical.h. */
  kDecodingUpdateProgress = 128,
  kDecodingLocation = 152, /* write_location */
  kDecodingXid = 160,      /* write_xid */
  /* ReorderBufferTXN, replication/reorderbuffer.h. */
  kTransactionXid = 4,
  kTransactionGid = 12,
  kTransactionFinal = 24, /* final_lsn */
  kTransactionEnd = 32,   /* end_lsn */
  kTransactionTime = 72,  /* xact_time: of the commit, or of the preparation */
  /* RelationData, utils/rel.h. */
  kRelationClass = 48, /* rd_rel */
  kRelationTuple = 52, /* rd_att */
  kRelationId = 56,
  kRelationIdentityIndex = 144, /* rd_replidindex */
  kRelationIndex = 192,         /* rd_index */
  /* FormData_pg_class, and what its columns have. */
  kClassName = 4,
  kClassNamespace = 68,
  kClassPersistence = 118,
  kClassKind = 119,
  kClassIdentity = 130, /* relreplident */
  kFirstUserId = 16384, /* FirstNormalObjectId */
  /* FormData_pg_type. */
  kTypeName = 4,
  kTypeNamespace = 68,
  kTypeOutput = 104,
  kTypeSend = 112,
  kCatalogNamespace = 11, /* pg_catalog */
  /* FormData_pg_index. */
  kIndexCount = 8,    /* indnatts */
  kIndexColumns = 48, /* indkey.values: 16 bits each */
  /* TupleDescData, access/tupdesc.h: a CompactAttribute for each column, then an attribute. */
  kTupleCount = 0,
  kTupleColumns = 20,
  kCompactSize = 16,
  /* FormData_pg_attribute. */
  kColumnSize = 100,
  kColumnName = 4,
  kColumnType = 68,
  kColumnLength = 72, /* attlen */
  kColumnNumber = 74,
  kColumnModifier = 76,
  kColumnGenerated = 90,
  kColumnDropped = 91,
  kFirstLowInvalid = -7, /* FirstLowInvalidHeapAttributeNumber */
  /* HeapTupleData and HeapTupleHeaderData, access/htup_details.h. */
  kHeapData = 16,
  kHeapHeaderSize = 22,
  /* TupleTableSlot, executor/tuptable.h. */
  kSlotValid = 6,  /* tts_nvalid */
  kSlotTuple = 12, /* tts_tupleDescriptor */
  kSlotValues = 16,
  kSlotNulls = 20,
  /* Publication, catalog/pg_publication.h. */
  kPublicationId = 0,
  kPublicationAllTables = 8,
  /* ArrayType, utils/array.h: of one dimension and without nulls. */
  kArrayCount = 16,
  kArrayData = 24,
  /* Caches, utils/syscache.h, and a column of theirs. */
  kTypeById = 82,           /* TYPEOID */
  kPublishedRelations = 53, /* PUBLICATIONRELMAP */
  kPublishedColumns = 5,    /* Anum_pg_publication_rel_prattrs */
  kOrExpression = 1,        /* OR_EXPR, nodes/primnodes.h */
  kStoredOnDisk = 18,       /* VARTAG_ONDISK, varatt.h */
};

/* --- What is written --- */

static uint32_t room_for(struct w2c_env* env, uint32_t out, uint32_t size) {
  main_enlargeStringInfo(env, out, size);
  const uint32_t length = load32(env, out + kStringLength);
  store32(env, out + kStringLength, length + size);
  return load32(env, out + kStringData) + length;
}

static void write8(struct w2c_env* env, uint32_t out, uint32_t value) {
  *bytes_at(env, room_for(env, out, 1)) = (uint8_t)value;
}
static void write16(struct w2c_env* env, uint32_t out, uint32_t value) {
  const uint16_t bytes = __builtin_bswap16((uint16_t)value);
  memcpy(bytes_at(env, room_for(env, out, sizeof bytes)), &bytes, sizeof bytes);
}
static void write32(struct w2c_env* env, uint32_t out, uint32_t value) {
  const uint32_t bytes = __builtin_bswap32(value);
  memcpy(bytes_at(env, room_for(env, out, sizeof bytes)), &bytes, sizeof bytes);
}
static void write64(struct w2c_env* env, uint32_t out, uint64_t value) {
  const uint64_t bytes = __builtin_bswap64(value);
  memcpy(bytes_at(env, room_for(env, out, sizeof bytes)), &bytes, sizeof bytes);
}
/* In the client's encoding, with a zero byte. */
static void write_string(struct w2c_env* env, uint32_t out, uint32_t text) {
  main_pq_sendtext(env, out, text, length_of(env, text));
  write8(env, out, 0);
}

/* The transaction's number, which messages have in a stream of transactions that are not over. */
static void write_streamed(struct w2c_env* env, uint32_t out, char message, uint32_t xid) {
  write8(env, out, (uint8_t)message);
  if (xid != 0) write32(env, out, xid);
}

/* --- Transactions --- */

void w2c_env_logicalrep_write_begin(struct w2c_env* env, uint32_t out, uint32_t transaction) {
  write8(env, out, 'B');
  write64(env, out, load64(env, transaction + kTransactionFinal));
  write64(env, out, load64(env, transaction + kTransactionTime));
  write32(env, out, load32(env, transaction + kTransactionXid));
}

/* Flags, of which there are none, a position in the WAL, and the transaction's end and time. */
static void write_end(struct w2c_env* env, uint32_t out, uint32_t transaction, uint64_t position) {
  write8(env, out, 0);
  write64(env, out, position);
  write64(env, out, load64(env, transaction + kTransactionEnd));
  write64(env, out, load64(env, transaction + kTransactionTime));
}

static void write_prepared(struct w2c_env* env, uint32_t out, uint32_t transaction) {
  write32(env, out, load32(env, transaction + kTransactionXid));
  write_string(env, out, load32(env, transaction + kTransactionGid));
}

void w2c_env_logicalrep_write_commit(struct w2c_env* env, uint32_t out, uint32_t transaction,
                                     uint64_t position) {
  write8(env, out, 'C');
  write_end(env, out, transaction, position);
}

void w2c_env_logicalrep_write_begin_prepare(struct w2c_env* env, uint32_t out,
                                            uint32_t transaction) {
  write8(env, out, 'b');
  write64(env, out, load64(env, transaction + kTransactionFinal));
  write64(env, out, load64(env, transaction + kTransactionEnd));
  write64(env, out, load64(env, transaction + kTransactionTime));
  write_prepared(env, out, transaction);
}

void w2c_env_logicalrep_write_prepare(struct w2c_env* env, uint32_t out, uint32_t transaction,
                                      uint64_t position) {
  write8(env, out, 'P');
  write_end(env, out, transaction, position);
  write_prepared(env, out, transaction);
}

void w2c_env_logicalrep_write_commit_prepared(struct w2c_env* env, uint32_t out,
                                              uint32_t transaction, uint64_t position) {
  write8(env, out, 'K');
  write_end(env, out, transaction, position);
  write_prepared(env, out, transaction);
}

void w2c_env_logicalrep_write_rollback_prepared(struct w2c_env* env, uint32_t out,
                                                uint32_t transaction, uint64_t prepare_end,
                                                uint64_t prepare_time) {
  write8(env, out, 'r');
  write8(env, out, 0);
  write64(env, out, prepare_end);
  write64(env, out, load64(env, transaction + kTransactionEnd));
  write64(env, out, prepare_time);
  write64(env, out, load64(env, transaction + kTransactionTime));
  write_prepared(env, out, transaction);
}

void w2c_env_logicalrep_write_origin(struct w2c_env* env, uint32_t out, uint32_t origin,
                                     uint64_t position) {
  write8(env, out, 'O');
  write64(env, out, position);
  write_string(env, out, origin);
}

void w2c_env_logicalrep_write_stream_start(struct w2c_env* env, uint32_t out, uint32_t xid,
                                           uint32_t is_first) {
  write8(env, out, 'S');
  write32(env, out, xid);
  write8(env, out, is_first != 0);
}

void w2c_env_logicalrep_write_stream_stop(struct w2c_env* env, uint32_t out) {
  write8(env, out, 'E');
}

void w2c_env_logicalrep_write_stream_commit(struct w2c_env* env, uint32_t out, uint32_t transaction,
                                            uint64_t position) {
  write8(env, out, 'c');
  write32(env, out, load32(env, transaction + kTransactionXid));
  write_end(env, out, transaction, position);
}

void w2c_env_logicalrep_write_stream_abort(struct w2c_env* env, uint32_t out, uint32_t xid,
                                           uint32_t subxid, uint64_t position, uint64_t time,
                                           uint32_t has_more) {
  write8(env, out, 'A');
  write32(env, out, xid);
  write32(env, out, subxid);
  if (has_more != 0) {
    write64(env, out, position);
    write64(env, out, time);
  }
}

void w2c_env_logicalrep_write_stream_prepare(struct w2c_env* env, uint32_t out,
                                             uint32_t transaction, uint64_t position) {
  write8(env, out, 'p');
  write_end(env, out, transaction, position);
  write_prepared(env, out, transaction);
}

/* --- Tables and rows --- */

static uint32_t column_at(struct w2c_env* env, uint32_t tuple, uint32_t index) {
  return tuple + kTupleColumns + load32(env, tuple + kTupleCount) * kCompactSize +
         index * kColumnSize;
}

/* `columns`: a set of their numbers, 0: all of them. Generated columns are only those whose values
 * are stored, and only if `generated` says so ('s') or they are in the set. */
uint32_t w2c_env_logicalrep_should_publish_column(struct w2c_env* env, uint32_t column,
                                                  uint32_t columns, uint32_t generated) {
  if (load8(env, column + kColumnDropped) != 0) return 0;
  if (columns != 0) {
    return main_bms_is_member(env, (uint32_t)(int16_t)load16(env, column + kColumnNumber), columns);
  }
  const uint32_t kind = load8(env, column + kColumnGenerated);
  return kind == 0 || (kind == 's' && (uint8_t)generated == 's');
}

uint32_t w2c_env_pub_form_cols_map(struct w2c_env* env, uint32_t relation, uint32_t generated) {
  const uint32_t tuple = load32(env, relation + kRelationTuple);
  const uint32_t count = load32(env, tuple + kTupleCount);
  uint32_t set = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t column = column_at(env, tuple, i);
    if (w2c_env_logicalrep_should_publish_column(env, column, 0, generated)) {
      set = main_bms_add_member(env, set, load16(env, column + kColumnNumber));
    }
  }
  return set;
}

static void write_column_count(struct w2c_env* env, uint32_t out, uint32_t tuple, uint32_t columns,
                               uint32_t generated) {
  const uint32_t count = load32(env, tuple + kTupleCount);
  uint32_t published = 0;
  for (uint32_t i = 0; i < count; ++i) {
    published += w2c_env_logicalrep_should_publish_column(env, column_at(env, tuple, i), columns,
                                                          generated) != 0;
  }
  write16(env, out, published);
}

static uint32_t find_type(struct w2c_env* env, uint32_t type) {
  const uint32_t found = main_SearchSysCache1(env, kTypeById, type);
  if (found == 0) {
    raise_error(env, SQLSTATE('X', 'X', '0', '0', '0'), "cache lookup failed for type %u", 1,
                &type);
  }
  return found;
}

static uint32_t row_of(struct w2c_env* env, uint32_t heap_tuple) {
  const uint32_t header = load32(env, heap_tuple + kHeapData);
  return header + load8(env, header + kHeapHeaderSize);
}

static void write_value(struct w2c_env* env, uint32_t out, uint32_t column, uint32_t value,
                        uint32_t is_binary) {
  const uint32_t found = find_type(env, load32(env, column + kColumnType));
  const uint32_t type = row_of(env, found);
  const uint32_t send = load32(env, type + kTypeSend);
  uint32_t bytes;
  if (is_binary != 0 && send != 0) {
    bytes = main_pg_detoast_datum(env, main_OidFunctionCall1Coll(env, send, 0, value));
    const uint32_t size = (load32(env, bytes) >> 2) - 4;
    write8(env, out, 'b');
    write32(env, out, size);
    main_pq_sendbytes(env, out, bytes + 4, size);
  } else {
    bytes = main_OidOutputFunctionCall(env, load32(env, type + kTypeOutput), value);
    write8(env, out, 't');
    const uint32_t before = load32(env, out + kStringLength);
    write32(env, out, 0);
    main_pq_sendtext(env, out, bytes, length_of(env, bytes));
    /* Another encoding makes it longer or shorter. */
    const uint32_t size = load32(env, out + kStringLength) - before - 4;
    store32(env, load32(env, out + kStringData) + before, __builtin_bswap32(size));
  }
  main_pfree(env, bytes);
  main_ReleaseSysCache(env, found);
}

static void write_row(struct w2c_env* env, uint32_t out, uint32_t relation, uint32_t slot,
                      uint32_t is_binary, uint32_t columns, uint32_t generated) {
  const uint32_t tuple = load32(env, relation + kRelationTuple);
  const uint32_t count = load32(env, tuple + kTupleCount);
  write_column_count(env, out, tuple, columns, generated);
  const uint32_t in_slot = load32(env, load32(env, slot + kSlotTuple) + kTupleCount);
  if (load16(env, slot + kSlotValid) < in_slot) main_slot_getsomeattrs_int(env, slot, in_slot);
  const uint32_t values = load32(env, slot + kSlotValues);
  const uint32_t nulls = load32(env, slot + kSlotNulls);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t column = column_at(env, tuple, i);
    if (!w2c_env_logicalrep_should_publish_column(env, column, columns, generated)) continue;
    const uint32_t value = load32(env, values + 4 * i);
    if (load8(env, nulls + i) != 0) {
      write8(env, out, 'n');
    } else if ((int16_t)load16(env, column + kColumnLength) == -1 && load8(env, value) == 1 &&
               load8(env, value + 1) == kStoredOnDisk) {
      write8(env, out, 'u'); /* a large value that has not changed: it is not in the WAL */
    } else {
      write_value(env, out, column, value, is_binary);
    }
  }
}

static uint32_t identity_of(struct w2c_env* env, uint32_t relation) {
  return load8(env, load32(env, relation + kRelationClass) + kClassIdentity);
}

/* The old row, or the columns of its key. */
static void write_old(struct w2c_env* env, uint32_t out, uint32_t relation, uint32_t slot,
                      uint32_t is_binary, uint32_t columns, uint32_t generated) {
  write8(env, out, identity_of(env, relation) == 'f' ? 'O' : 'K');
  write_row(env, out, relation, slot, is_binary, columns, generated);
}

void w2c_env_logicalrep_write_insert(struct w2c_env* env, uint32_t out, uint32_t xid,
                                     uint32_t relation, uint32_t slot, uint32_t is_binary,
                                     uint32_t columns, uint32_t generated) {
  write_streamed(env, out, 'I', xid);
  write32(env, out, load32(env, relation + kRelationId));
  write8(env, out, 'N');
  write_row(env, out, relation, slot, is_binary, columns, generated);
}

void w2c_env_logicalrep_write_update(struct w2c_env* env, uint32_t out, uint32_t xid,
                                     uint32_t relation, uint32_t old_slot, uint32_t slot,
                                     uint32_t is_binary, uint32_t columns, uint32_t generated) {
  write_streamed(env, out, 'U', xid);
  write32(env, out, load32(env, relation + kRelationId));
  if (old_slot != 0) write_old(env, out, relation, old_slot, is_binary, columns, generated);
  write8(env, out, 'N');
  write_row(env, out, relation, slot, is_binary, columns, generated);
}

void w2c_env_logicalrep_write_delete(struct w2c_env* env, uint32_t out, uint32_t xid,
                                     uint32_t relation, uint32_t slot, uint32_t is_binary,
                                     uint32_t columns, uint32_t generated) {
  write_streamed(env, out, 'D', xid);
  write32(env, out, load32(env, relation + kRelationId));
  write_old(env, out, relation, slot, is_binary, columns, generated);
}

void w2c_env_logicalrep_write_truncate(struct w2c_env* env, uint32_t out, uint32_t xid,
                                       uint32_t count, uint32_t relations, uint32_t cascade,
                                       uint32_t restart_sequences) {
  write_streamed(env, out, 'T', xid);
  write32(env, out, count);
  write8(env, out, (cascade != 0 ? 1 : 0) | (restart_sequences != 0 ? 2 : 0));
  for (uint32_t i = 0; i < count; ++i) write32(env, out, load32(env, relations + 4 * i));
}

void w2c_env_logicalrep_write_message(struct w2c_env* env, uint32_t out, uint32_t xid,
                                      uint64_t position, uint32_t is_transactional, uint32_t prefix,
                                      uint32_t size, uint32_t message) {
  write_streamed(env, out, 'M', xid);
  write8(env, out, is_transactional != 0);
  write64(env, out, position);
  write_string(env, out, prefix);
  write32(env, out, size);
  main_pq_sendbytes(env, out, message, size);
}

/* Nothing stands for pg_catalog. */
static void write_namespace(struct w2c_env* env, uint32_t out, uint32_t schema) {
  if (schema == kCatalogNamespace) {
    write8(env, out, 0);
    return;
  }
  const uint32_t name = main_get_namespace_name(env, schema);
  if (name == 0) {
    raise_error(env, SQLSTATE('X', 'X', '0', '0', '0'), "cache lookup failed for namespace %u", 1,
                &schema);
  }
  write_string(env, out, name);
}

/* The columns of the index that identifies rows, as a set of their numbers without
 * kFirstLowInvalid. RelationGetIndexAttrBitmap() would read index expressions, which may need
 * catalogues that cannot be read as they once were. */
static uint32_t identity_columns(struct w2c_env* env, uint32_t relation) {
  /* Finds out which index that is. */
  main_list_free(env, main_RelationGetIndexList(env, relation));
  const uint32_t id = load32(env, relation + kRelationIdentityIndex);
  const uint32_t index = id != 0 ? main_RelationIdGetRelation(env, id) : 0;
  if (index == 0) return 0;
  const uint32_t row = load32(env, index + kRelationIndex);
  const uint32_t count = load16(env, row + kIndexCount);
  uint32_t set = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const int16_t number = (int16_t)load16(env, row + kIndexColumns + 2 * i);
    if (number != 0) set = main_bms_add_member(env, set, (uint32_t)(number - kFirstLowInvalid));
  }
  main_RelationClose(env, index);
  return set;
}

void w2c_env_logicalrep_write_rel(struct w2c_env* env, uint32_t out, uint32_t xid,
                                  uint32_t relation, uint32_t columns, uint32_t generated) {
  const uint32_t class = load32(env, relation + kRelationClass);
  const uint32_t tuple = load32(env, relation + kRelationTuple);
  const uint32_t identity = identity_of(env, relation);
  write_streamed(env, out, 'R', xid);
  write32(env, out, load32(env, relation + kRelationId));
  write_namespace(env, out, load32(env, class + kClassNamespace));
  write_string(env, out, class + kClassName);
  write8(env, out, identity);
  write_column_count(env, out, tuple, columns, generated);
  const uint32_t keys = identity == 'f' ? 0 : identity_columns(env, relation);
  const uint32_t count = load32(env, tuple + kTupleCount);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t column = column_at(env, tuple, i);
    if (!w2c_env_logicalrep_should_publish_column(env, column, columns, generated)) continue;
    const uint32_t number = load16(env, column + kColumnNumber);
    write8(env, out,
           identity == 'f' || main_bms_is_member(env, number - kFirstLowInvalid, keys) != 0);
    write_string(env, out, column + kColumnName);
    write32(env, out, load32(env, column + kColumnType));
    write32(env, out, load32(env, column + kColumnModifier));
  }
  main_bms_free(env, keys);
}

/* The type that a domain is of. */
void w2c_env_logicalrep_write_typ(struct w2c_env* env, uint32_t out, uint32_t xid, uint32_t type) {
  write_streamed(env, out, 'Y', xid);
  const uint32_t found = find_type(env, main_getBaseType(env, type));
  const uint32_t row = row_of(env, found);
  write32(env, out, type);
  write_namespace(env, out, load32(env, row + kTypeNamespace));
  write_string(env, out, row + kTypeName);
  main_ReleaseSysCache(env, found);
}

/* --- Publications --- */

uint32_t w2c_env_is_publishable_relation(struct w2c_env* env, uint32_t relation) {
  const uint32_t class = load32(env, relation + kRelationClass);
  const uint32_t kind = load8(env, class + kClassKind);
  return (kind == 'r' || kind == 'p') && load8(env, class + kClassPersistence) == 'p' &&
         load32(env, relation + kRelationId) >= kFirstUserId;
}

uint32_t w2c_env_GetPublicationByName(struct w2c_env* env, uint32_t name, uint32_t missing_ok) {
  const uint32_t id = main_get_publication_oid(env, name, missing_ok);
  return id != 0 ? main_GetPublication(env, id) : 0;
}

/* `ancestors` has the topmost last, and a level is a place in it. */
uint32_t w2c_env_GetTopMostAncestorInPublication(struct w2c_env* env, uint32_t publication,
                                                 uint32_t ancestors, uint32_t level) {
  if (ancestors == 0) return 0;
  const uint32_t count = load32(env, ancestors + kListLength);
  for (uint32_t i = count; i-- > 0;) {
    const uint32_t ancestor = load32(env, load32(env, ancestors + kListElements) + 4 * i);
    const uint32_t lists[] = {
        main_GetRelationPublications(env, ancestor),
        main_GetSchemaPublications(env, main_get_rel_namespace(env, ancestor))};
    const uint32_t is_published = main_list_member_oid(env, lists[0], publication) |
                                  main_list_member_oid(env, lists[1], publication);
    main_list_free(env, lists[0]);
    main_list_free(env, lists[1]);
    if (is_published != 0) {
      if (level != 0) store32(env, level, i + 1);
      return ancestor;
    }
  }
  return 0;
}

/* Whether the publication has a list of columns of the table. Where `columns` is not 0, they are
 * added to the set there, in the memory context. */
uint32_t w2c_env_check_and_fetch_column_list(struct w2c_env* env, uint32_t publication,
                                             uint32_t relation, uint32_t context,
                                             uint32_t columns) {
  if (load8(env, publication + kPublicationAllTables) != 0) return 0;
  const uint32_t found = main_SearchSysCache2(env, kPublishedRelations, relation,
                                              load32(env, publication + kPublicationId));
  if (found == 0) return 0;
  const uint32_t stack_pointer = *env->stack_pointer;
  const uint32_t is_null = push(env, 1);
  const uint32_t value =
      main_SysCacheGetAttr(env, kPublishedRelations, found, kPublishedColumns, is_null);
  const uint32_t has_columns = load8(env, is_null) == 0;
  *env->stack_pointer = stack_pointer;
  if (has_columns && columns != 0) {
    const uint32_t array = main_pg_detoast_datum(env, value);
    const uint32_t count = load32(env, array + kArrayCount);
    const uint32_t current = address_of_CurrentMemoryContext(env);
    const uint32_t before = load32(env, current);
    if (context != 0) store32(env, current, context);
    uint32_t set = load32(env, columns);
    for (uint32_t i = 0; i < count; ++i) {
      set = main_bms_add_member(env, set, load16(env, array + kArrayData + 2 * i));
    }
    store32(env, columns, set);
    store32(env, current, before);
  }
  main_ReleaseSysCache(env, found);
  return has_columns;
}

/* --- The rest --- */

void w2c_env_OutputPluginUpdateProgress(struct w2c_env* env, uint32_t decoding,
                                        uint32_t is_skipped) {
  const uint32_t function = load32(env, decoding + kDecodingUpdateProgress);
  if (function == 0) return;
  const wasm_rt_funcref_t entry = table_entry(env, function, wasm_func_type_ijii_v);
  ((void (*)(void*, uint32_t, uint64_t, uint32_t, uint32_t))entry.func)(
      entry.module_instance, decoding, load64(env, decoding + kDecodingLocation),
      load32(env, decoding + kDecodingXid), is_skipped);
}

/* PGlite has no list of these callbacks. What they are to be told of reaches those for the relation
 * cache (HOOKS of translate.py). */
void w2c_env_CacheRegisterRelSyncCallback(struct w2c_env* env, uint32_t function,
                                          uint32_t argument) {
  main_CacheRegisterRelcacheCallback(env, function, argument);
}

/* An unknown origin is no error. */
uint32_t w2c_env_replorigin_by_oid(struct w2c_env* env, uint32_t id, uint32_t missing_ok,
                                   uint32_t name) {
  (void)missing_ok;
  return main_replorigin_by_oid(env, id, name);
}

uint32_t w2c_env_make_orclause(struct w2c_env* env, uint32_t arguments) {
  return main_makeBoolExpr(env, kOrExpression, arguments, UINT32_MAX);
}

void w2c_env_free_attrmap(struct w2c_env* env, uint32_t map) {
  main_pfree(env, load32(env, map));
  main_pfree(env, map);
}

/* Lists of transactions are like lists of oids, under another tag. */
uint32_t w2c_env_list_member_xid(struct w2c_env* env, uint32_t list, uint32_t xid) {
  return main_list_member_oid(env, list, xid);
}

uint32_t w2c_env_lappend_xid(struct w2c_env* env, uint32_t list, uint32_t xid) {
  const uint32_t result = main_lappend_oid(env, list, xid);
  store32(env, result + kListType, kXidList);
  return result;
}
