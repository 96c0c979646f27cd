//! What the pages say: each text by its name, in English in its documentation.

/// A text of the pages. Its documentation is what it says in English; a word in braces is filled in, and is never markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Text {
    /// “{number} seconds”
    Seconds,
    /// “{number} minutes”
    Minutes,
    /// “{number} hours”
    Hours,
    /// “{number} days”
    Days,
    /// “1 second”
    OneSecond,
    /// “just now”
    JustNow,
    /// “a minute ago”
    AMinuteAgo,
    /// “{number} minutes ago”
    MinutesAgo,
    /// “{number} hours ago”
    HoursAgo,
    /// “{number} days ago”
    DaysAgo,
    /// “a program on this computer”
    OnThisComputer,
    /// “an app on this device”
    OnThisDevice,
    /// “Allow access to your account?”
    ConsentTitle,
    /// “Allow {client} to use your account?”
    ConsentHeading,
    /// “Signed in as {subject}”
    SignedInAs,
    /// “Use another account”
    AnotherAccount,
    /// “You are about to connect a device. Check that it is in front of you and that it shows exactly this code:”
    CompareCode,
    /// “Did somebody send you this code, or a link to this page?”
    SentCode,
    /// “Then choose Deny: to allow it would let them into your account.”
    SentCodeText,
    /// “Nobody has vouched for this application.”
    Unvouched,
    /// “It registered itself and chose its own name. Allow it only if you started this yourself and know {destination}.”
    UnvouchedHost,
    /// “It registered itself and chose its own name. Allow it only if you started this yourself in a program on this computer.”
    UnvouchedComputer,
    /// “It registered itself and chose its own name. Allow it only if you started this yourself in an app on this device.”
    UnvouchedApp,
    /// “It registered itself and chose its own name. Allow it only if you started this yourself.”
    UnvouchedDevice,
    /// “What it may do”
    MayDo,
    /// “It asks for no particular permission.”
    NothingAsked,
    /// “These are {number} permissions. If that is more than the application needs, choose Deny.”
    ManyAsked,
    /// “Where it may do that”
    Where,
    /// “Details”
    Details,
    /// “The answer goes to”
    AnswerGoesTo,
    /// “The device asked from”
    DeviceAddress,
    /// “The device asked”
    DeviceAsked,
    /// “Access lasts”
    Lasts,
    /// “at most {time}”
    AtMost,
    /// “Website”
    Website,
    /// “Privacy policy”
    PrivacyPolicy,
    /// “Terms of service”
    TermsOfService,
    /// “Application ID”
    ApplicationId,
    /// “Allow”
    Allow,
    /// “Deny”
    Deny,
    /// “Connect a device”
    DeviceTitle,
    /// “Problem: Connect a device”
    DeviceTitleProblem,
    /// “Type the code that your device shows. Small or capital letters, spaces and dashes make no difference.”
    DeviceHint,
    /// “Look at your device: go on only if it shows exactly this code.”
    DeviceHintFilledIn,
    /// “Did somebody send you a code?”
    GivenCode,
    /// “Do not type it here: it would let them into your account.”
    GivenCodeText,
    /// “Code”
    Code,
    /// “Continue”
    Continue,
    /// “This code is not valid. Look at your device and type in what it shows. If it shows a new code, the old one has
    /// expired.”
    WrongCode,
    /// “This request cannot be answered”
    LeavingTitle,
    /// “The application has to be told that its request could not be answered. Nothing was given to it.”
    LeavingText,
    /// “Nobody has vouched for the application that sent you here.”
    LeavingUnvouched,
    /// “Go on only if you know {destination}. Otherwise close this page.”
    LeavingHost,
    /// “Go on only if you know {destination}, a program on this computer. Otherwise close this page.”
    LeavingComputer,
    /// “Go on only if you know {destination}, an app on this device. Otherwise close this page.”
    LeavingApp,
    /// “Continue to {destination}”
    ContinueTo,
    /// “Connected applications”
    AppsTitle,
    /// “These applications may use your account. Remove those that you no longer use or do not know.”
    AppsText,
    /// “No application has access to your account.”
    NoApps,
    /// “When you allow one, it stands here, and you can take the access back.”
    NoAppsText,
    /// “The access was removed.”
    AppRemoved,
    /// “Registered itself: nobody has vouched for it”
    AppUnvouched,
    /// “A device”
    AppDevice,
    /// “A program on a computer”
    AppOnComputer,
    /// “An app on a device”
    AppOnDevice,
    /// “Where it is”
    AppWhere,
    /// “Has access since”
    AppSince,
    /// “Last used”
    AppLastUsed,
    /// “Access ends”
    AppEnds,
    /// “Remove access”
    Remove,
    /// “{client} loses its access to your account. It can ask you again.”
    RemoveText,
    /// “Yes, remove”
    RemoveNow,
    /// “More applications”
    MoreApps,
    /// “Back”
    FewerApps,
    /// “Device connected”
    ConnectedTitle,
    /// “You can close this page and go back to your device.”
    ConnectedText,
    /// “Request denied”
    DeniedTitle,
    /// “Nothing was given to the device. You can close this page.”
    DeniedText,
    /// “Already answered”
    AnsweredTitle,
    /// “This request was answered before, and an answer is final. You can close this page. To begin anew, go back to the
    /// application.”
    AnsweredText,
    /// “Not accepted”
    ForgedTitle,
    /// “The answer did not come from the page that asked you. Go back to the application and start again.”
    ForgedText,
    /// “The code did not come from this page. Open it yourself and type the code in there.”
    ForgedCodeText,
    /// “Nothing was removed: the form did not come from this page, or it was open too long. Open the list of connected
    /// applications again and repeat it there.”
    ForgedRemovalText,
    /// “Show connected applications”
    ToList,
    /// “Type in a code”
    ToDevice,
    /// “Expired”
    ExpiredTitle,
    /// “This request has expired or is not known. Go back to the application and start again.”
    ExpiredText,
    /// “Unknown application”
    UnknownTitle,
    /// “The application is not known here. If you came from one that you use, its makers have to register it, or it has to be
    /// set up anew.”
    UnknownText,
    /// “Not sent on”
    UnregisteredTitle,
    /// “The address to return to is not registered for this application. So that nothing of yours gets into wrong hands, you
    /// are not sent there. Tell the makers of the application.”
    UnregisteredText,
    /// “Please wait”
    TooManyTitle,
    /// “There were too many tries. Wait for {time}, and then try again.”
    TooManyText,
    /// “Not available right now”
    UnavailableTitle,
    /// “Something failed here, and it is not your fault. Wait a moment, then load this page again.”
    UnavailableText,
    /// “Not signed in”
    NotSignedInTitle,
    /// “You have come back from signing in, but nobody is signed in here. Allow cookies for this site, then open this page
    /// again.”
    NotSignedInText,
    /// “This does not work”
    InvalidTitle,
    /// “The request is not one that can be answered. Go back to where you came from and start again. If it happens again, tell
    /// the makers of the application.”
    InvalidText,
    /// “For the makers of the application”
    Technical,
    /// “If you ask for help, name”
    ErrorId,
}

impl Text {
    /// All texts: what a language needs.
    pub const ALL: [Self; 102] = [
        Self::Seconds,
        Self::Minutes,
        Self::Hours,
        Self::Days,
        Self::OneSecond,
        Self::JustNow,
        Self::AMinuteAgo,
        Self::MinutesAgo,
        Self::HoursAgo,
        Self::DaysAgo,
        Self::OnThisComputer,
        Self::OnThisDevice,
        Self::ConsentTitle,
        Self::ConsentHeading,
        Self::SignedInAs,
        Self::AnotherAccount,
        Self::CompareCode,
        Self::SentCode,
        Self::SentCodeText,
        Self::Unvouched,
        Self::UnvouchedHost,
        Self::UnvouchedComputer,
        Self::UnvouchedApp,
        Self::UnvouchedDevice,
        Self::MayDo,
        Self::NothingAsked,
        Self::ManyAsked,
        Self::Where,
        Self::Details,
        Self::AnswerGoesTo,
        Self::DeviceAddress,
        Self::DeviceAsked,
        Self::Lasts,
        Self::AtMost,
        Self::Website,
        Self::PrivacyPolicy,
        Self::TermsOfService,
        Self::ApplicationId,
        Self::Allow,
        Self::Deny,
        Self::DeviceTitle,
        Self::DeviceTitleProblem,
        Self::DeviceHint,
        Self::DeviceHintFilledIn,
        Self::GivenCode,
        Self::GivenCodeText,
        Self::Code,
        Self::Continue,
        Self::WrongCode,
        Self::LeavingTitle,
        Self::LeavingText,
        Self::LeavingUnvouched,
        Self::LeavingHost,
        Self::LeavingComputer,
        Self::LeavingApp,
        Self::ContinueTo,
        Self::AppsTitle,
        Self::AppsText,
        Self::NoApps,
        Self::NoAppsText,
        Self::AppRemoved,
        Self::AppUnvouched,
        Self::AppDevice,
        Self::AppOnComputer,
        Self::AppOnDevice,
        Self::AppWhere,
        Self::AppSince,
        Self::AppLastUsed,
        Self::AppEnds,
        Self::Remove,
        Self::RemoveText,
        Self::RemoveNow,
        Self::MoreApps,
        Self::FewerApps,
        Self::ConnectedTitle,
        Self::ConnectedText,
        Self::DeniedTitle,
        Self::DeniedText,
        Self::AnsweredTitle,
        Self::AnsweredText,
        Self::ForgedTitle,
        Self::ForgedText,
        Self::ForgedCodeText,
        Self::ForgedRemovalText,
        Self::ToList,
        Self::ToDevice,
        Self::ExpiredTitle,
        Self::ExpiredText,
        Self::UnknownTitle,
        Self::UnknownText,
        Self::UnregisteredTitle,
        Self::UnregisteredText,
        Self::TooManyTitle,
        Self::TooManyText,
        Self::UnavailableTitle,
        Self::UnavailableText,
        Self::NotSignedInTitle,
        Self::NotSignedInText,
        Self::InvalidTitle,
        Self::InvalidText,
        Self::Technical,
        Self::ErrorId,
    ];
}
