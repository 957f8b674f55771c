//! The permission matrix of the contract (section 5) as data: one row a call, one column a kind of caller.
//!
//! | cell | meaning |
//! |---|---|
//! | `y` | yes |
//! | `e` | yes, but what is not for the caller is left out: the entry of a value without the secret, no members, no credential of others |
//! | `r` | the right is there, and the refusal is about the state: the credential is in a locker, the locker holds one (409) |
//! | `f` | the caller sees it but may not (403), and the message says which right would allow it |
//! | `b` | the right is there but for its base permission (403), and the message names that; for a list: no permission through which one could see any |
//! | `s` | an administrator of lockers gives to himself (403) |
//! | `n` | the caller may not know (404); for a list: it does not tell of it |
//!
//! The columns are those of [`super::Who`]: first each kind of caller with its base permission and no other, then each without it but with
//! other permissions.

/// A call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    SeeCredential,
    FindCredential,
    ChangeCredential,
    DeleteAttribute,
    DeleteCredential,
    Assign,
    Withdraw,
    Transfer,
    TransferToSelf,
    ReadStandard,
    CreateStandard,
    UpdateStandard,
    DeleteStandard,
    ReadOwn,
    CreateOwn,
    UpdateOwn,
    DeleteOwn,
    ReadOther,
    CreateOther,
    UpdateOther,
    DeleteOther,
    ExplainOwn,
    ExplainOther,
    MissingValues,
    SeeLocker,
    FindLocker,
    ListMembers,
    ListConsumers,
    ListContents,
    UpdateLocker,
    AddConsumer,
    AddOwnRole,
    RemoveConsumer,
    SetMember,
    SetSelf,
    RemoveMember,
    DeleteLocker,
    Enter,
}

/// Owner, own, manage, participate, consumer, *Administer all lockers*, *View and edit ALL values*, others; then without the base permission:
/// owner, own, manage, participate, consumer, somebody without any.
pub(super) const MATRIX: &[(Call, &str)] = {
    use Call::*;
    &[
        // See the credential.
        (SeeCredential, "yyynyyyn bbbnbn"),
        (FindCredential, "yyynyyyn nnnnnb"),
        // Change, delete it; put it in a locker.
        (ChangeCredential, "yffnfffn bbbnbn"),
        (DeleteAttribute, "yffnfffn bbbnbn"),
        (DeleteCredential, "rffnfffn bbbnbn"),
        (Assign, "yffnfffn bbbnbn"),
        // Take it out of the locker.
        (Withdraw, "yyynfyfn bbbnbn"),
        // Change its owner.
        (Transfer, "yffnfyfn bbbnbn"),
        (TransferToSelf, "yffnfsfn bbbnbn"),
        // Read a standard value.
        (ReadStandard, "yeenyfyn bbbnbn"),
        // Write a standard value.
        (CreateStandard, "yyynffyn bbbnbn"),
        (UpdateStandard, "yyynffyn bbbnbn"),
        (DeleteStandard, "yyynffyn bbbnbn"),
        // Read, write one's own user-provided value.
        (ReadOwn, "yffnyfyn bbbnbn"),
        (CreateOwn, "yffnyfyn bbbnbn"),
        (UpdateOwn, "yffnyfyn bbbnbn"),
        (DeleteOwn, "yffnyfyn bbbnbn"),
        // Read, write another's user-provided value.
        (ReadOther, "fffnffyn bbbnbn"),
        (CreateOther, "fffnffyn bbbnbn"),
        (UpdateOther, "fffnffyn bbbnbn"),
        (DeleteOther, "fffnffyn bbbnbn"),
        // Who may do what: the owner, the locker's owners and managers, its administrators; everybody about himself.
        (ExplainOwn, "yyynyyyn bbbnbn"),
        (ExplainOther, "yyynfyfn bbbnbn"),
        (MissingValues, "yyynfyfn bbbnbn"),
        // See the locker, its members, its consumers.
        (SeeLocker, "nyyyyynn nbbbbn"),
        (FindLocker, "nyyyyybn nnnnnb"),
        (ListMembers, "nyyyeynn nbbbbn"),
        (ListConsumers, "nyyyyynn nbbbbn"),
        (ListContents, "nyyeyynn nbbbbn"),
        // Change the locker; add or remove consumers.
        (UpdateLocker, "nyyffynn nbbbbn"),
        (AddConsumer, "nyyffynn nbbbbn"),
        (AddOwnRole, "nyyffsnn nbbbbn"),
        (RemoveConsumer, "nyyffynn nbbbbn"),
        // Add or remove members; delete the locker.
        (SetMember, "nyfffynn nbbbbn"),
        (SetSelf, "nyfffsnn nbbbbn"),
        (RemoveMember, "nyfffynn nbbbbn"),
        (DeleteLocker, "nrfffrnn nbbbbn"),
        // Put a credential of one's own into the locker, for callers who may own one; without the base permission of their membership, where
        // that is another one.
        (Enter, "nyyyffnn .bbb.."),
    ]
};

/// What `permissions` of the credential says to each caller who sees it: read values, write values, update, delete, transfer, assign.
pub(super) const PERMISSIONS: [Option<[bool; 6]>; 7] = [
    Some([true, true, true, true, true, true]),
    Some([false, true, false, false, false, false]),
    Some([false, true, false, false, false, false]),
    None,
    Some([true, true, false, false, false, false]),
    Some([false, false, false, false, true, false]),
    Some([true, true, false, false, false, false]),
];

/// What `lockerPermission` of the locker says to each caller who sees it: owner, manager, participant, consumer.
pub(super) const LOCKER_PERMISSIONS: [Option<[bool; 4]>; 7] = [
    None,
    Some([true, false, true, false]),
    Some([false, true, true, false]),
    Some([false, false, true, false]),
    Some([false, false, false, true]),
    Some([false, false, false, false]),
    None,
];
